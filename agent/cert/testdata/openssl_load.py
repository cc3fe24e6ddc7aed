# How OpenSSL reads PEM, by the functions with which redis reads its files. It gets lines
# "N" with N bytes of text after each, and answers with three: what the text is as a chain,
# as CA certificates and as a key. Each is "refused", or the certificates in DER and hex, the
# leaf first (of a CA: ordered), or the public key.
import ctypes, os, sys, tempfile

ssl, crypto = ctypes.CDLL("libssl.so.3"), ctypes.CDLL("libcrypto.so.3")
P, I, L = ctypes.c_void_p, ctypes.c_int, ctypes.c_long
for lib, name, result, args in [
    (ssl, "TLS_method", P, []), (ssl, "SSL_CTX_new", P, [P]), (ssl, "SSL_CTX_free", None, [P]),
    (ssl, "SSL_CTX_set_security_level", None, [P, I]),
    (ssl, "SSL_CTX_use_certificate_chain_file", I, [P, ctypes.c_char_p]),
    (ssl, "SSL_CTX_use_PrivateKey_file", I, [P, ctypes.c_char_p, I]),
    (ssl, "SSL_CTX_load_verify_locations", I, [P, ctypes.c_char_p, ctypes.c_char_p]),
    (ssl, "SSL_CTX_get0_certificate", P, [P]), (ssl, "SSL_CTX_get0_privatekey", P, [P]),
    (ssl, "SSL_CTX_ctrl", L, [P, I, L, P]), (ssl, "SSL_CTX_get_cert_store", P, [P]),
    (ssl, "SSL_CTX_set_default_passwd_cb", None, [P, P]),
    (crypto, "OPENSSL_sk_num", I, [P]), (crypto, "OPENSSL_sk_value", P, [P, I]),
    (crypto, "X509_STORE_get0_objects", P, [P]), (crypto, "X509_OBJECT_get0_X509", P, [P]),
    (crypto, "i2d_X509", I, [P, P]), (crypto, "i2d_PUBKEY", I, [P, P]), (crypto, "ERR_clear_error", None, []),
]:
    f = getattr(lib, name)
    f.restype, f.argtypes = result, args

nobody = ctypes.CFUNCTYPE(I, P, I, I, P)(lambda *_: 0)  # knows no passphrase, and asks for none


def der(encode, value):
    size = encode(value, None)
    if size <= 0:
        return "-"
    text = ctypes.create_string_buffer(size)
    encode(value, ctypes.byref(ctypes.cast(text, P)))
    return text.raw.hex()


def stack(s):
    return [crypto.OPENSSL_sk_value(s, i) for i in range(max(0, crypto.OPENSSL_sk_num(s)))] if s else []


def load(what, path):
    crypto.ERR_clear_error()
    ctx = ssl.SSL_CTX_new(ssl.TLS_method())
    try:
        ssl.SSL_CTX_set_security_level(ctx, 0)
        ssl.SSL_CTX_set_default_passwd_cb(ctx, ctypes.cast(nobody, P))
        if what == "chain":
            if ssl.SSL_CTX_use_certificate_chain_file(ctx, path) != 1:
                return "refused"
            chain = P()
            ssl.SSL_CTX_ctrl(ctx, 115, 0, ctypes.byref(chain))  # SSL_CTRL_GET_CHAIN_CERTS
            return " ".join(der(crypto.i2d_X509, c) for c in [ssl.SSL_CTX_get0_certificate(ctx)] + stack(chain.value))
        if what == "ca":
            if ssl.SSL_CTX_load_verify_locations(ctx, path, None) != 1:
                return "refused"
            certs = [crypto.X509_OBJECT_get0_X509(o) for o in stack(crypto.X509_STORE_get0_objects(ssl.SSL_CTX_get_cert_store(ctx)))]
            return " ".join(sorted(der(crypto.i2d_X509, c) for c in certs if c)) or "none"
        if ssl.SSL_CTX_use_PrivateKey_file(ctx, path, 1) != 1:
            return "refused"
        return der(crypto.i2d_PUBKEY, ssl.SSL_CTX_get0_privatekey(ctx))
    finally:
        ssl.SSL_CTX_free(ctx)


with tempfile.TemporaryDirectory() as d:
    path = os.path.join(d, "x.pem").encode()
    for size in sys.stdin.buffer:
        with open(path, "wb") as f:
            f.write(sys.stdin.buffer.read(int(size)))
        print(*[load(what, path) for what in ("chain", "ca", "key")], sep="\n", flush=True)
