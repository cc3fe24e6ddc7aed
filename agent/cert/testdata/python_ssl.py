# What Python's ssl says to a certificate, in handshakes in memory. It gets lines
# "DIRECTORY NAME" and answers with four words: server and client, with the default flags
# of Python before 3.13 and with those since.
import os, ssl, sys

STRICT = ssl.VERIFY_X509_STRICT | getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0x80000)


def context(purpose, directory, strict):
    c = ssl.create_default_context(purpose)
    c.verify_flags = c.verify_flags & ~STRICT | (STRICT if strict else 0)
    c.load_verify_locations(os.path.join(directory, "ca.pem"))
    c.verify_mode = ssl.CERT_REQUIRED
    return c


def own(c, directory):
    c.set_ciphers("DEFAULT:@SECLEVEL=0")  # the other side is to refuse it
    c.load_cert_chain(os.path.join(directory, "chain.pem"), os.path.join(directory, "key.pem"))


def shake(client, server, name):
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True)]
    waiting = list(sides)
    for _ in range(9):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
        if not waiting:
            return
    raise ssl.SSLError("no end")


def verdict(directory, name, as_client, strict):
    try:
        if as_client:
            server, client = context(ssl.Purpose.CLIENT_AUTH, directory, strict), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
            own(client, directory)
            server.load_cert_chain(os.path.join(directory, "../good.pem"), os.path.join(directory, "../goodkey.pem"))
        else:
            client, server = context(ssl.Purpose.SERVER_AUTH, directory, strict), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            own(server, directory)
        shake(client, server, name)
        return "taken"
    except ssl.SSLError as e:
        return "refused:" + str(e).replace(" ", "_")


for line in sys.stdin:
    directory, name = line.split()
    print(*[verdict(directory, name, c, s) for c in (False, True) for s in (False, True)], flush=True)
