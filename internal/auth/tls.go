package auth

import (
	"crypto/tls"
)

func parsePair(contents [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	return &pair, err
}

// tls is how the listener speaks, nil for plain HTTP. A certificate that was replaced is shown from the next connection on.
func (g *Guard) tls() *tls.Config {
	if g.certificate == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return g.certificate.now(), nil },
	}
}
