// Package redistest gives tests real redis-servers, small certificate
// authorities, and a proxy that can put words into a server's mouth.
//
// Everything listens on loopback, on ports the kernel picked, and is gone when
// the test ends: a server is killed by its own process id, never by name. The
// server is redis-server from the PATH, or the binary that the environment
// variable REDIS_SERVER names (another version, or valkey-server).
package redistest
