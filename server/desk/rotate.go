package desk

import (
	"context"
	"slices"

	"golang.org/x/crypto/ssh"
)

// learn pins the other host keys of a server whose one host key is pinned, so
// that it stays known if it is asked for another type of key later. OpenSSH
// names them after the login (hostkeys-00@openssh.com) and proves each by a
// signature over this session. Keys of a type that is pinned already are left
// alone: a key is added here, never replaced.
//
// It works in the background and returns the requests that are not for it. What
// it does not learn it does not need.
func (d *Desk) learn(ctx context.Context, c ssh.Conn, t Target, address string, requests <-chan *ssh.Request) <-chan *ssh.Request {
	rest := make(chan *ssh.Request)
	go func() {
		defer close(rest)
		for r := range requests {
			if r.Type != "hostkeys-00@openssh.com" {
				rest <- r
				continue
			}
			go func() {
				if err := d.pinOthers(ctx, c, t, address, r.Payload); err != nil {
					d.log.Debug("the server's other host keys are not pinned", "server", t.Name, "error", err)
				}
			}()
		}
	}()
	return rest
}

func (d *Desk) pinOthers(ctx context.Context, c ssh.Conn, t Target, address string, payload []byte) error {
	known, err := d.pins(t, address, nil, true)
	if err != nil {
		return err
	}
	var others []ssh.PublicKey
	for _, blob := range stringsIn(payload) {
		key, err := ssh.ParsePublicKey(blob)
		// To a client of this library OpenSSH proves RSA keys with SHA-1 only,
		// which is no proof; DSA nothing here would ask for.
		if err != nil || key.Type() == ssh.KeyAlgoRSA || key.Type() == "ssh-dss" {
			continue
		}
		pinned := slices.ContainsFunc(known.keys, func(k knownKey) bool { return k.Type() == key.Type() })
		if _, certified := key.(*ssh.Certificate); !pinned && !certified && len(others) < 8 {
			others = append(others, key)
		}
	}
	if len(others) == 0 || len(known.keys) == 0 || ctx.Err() != nil {
		return nil
	}
	var ask []byte
	for _, key := range others {
		ask = append(ask, ssh.Marshal(struct{ Blob []byte }{key.Marshal()})...)
	}
	ok, answer, err := c.SendRequest("hostkeys-prove-00@openssh.com", true, ask)
	if err != nil || !ok {
		return err
	}
	proofs := stringsIn(answer)
	for i, key := range others {
		if i >= len(proofs) || !proves(proofs[i], key, c.SessionID()) {
			continue
		}
		if err := d.pin(t, address, key); err != nil {
			return err
		}
	}
	return nil
}

// proves checks the signature over the session by which a server shows that a
// key is its own.
func proves(proof []byte, key ssh.PublicKey, session []byte) bool {
	var signature ssh.Signature
	if err := ssh.Unmarshal(proof, &signature); err != nil || signature.Format == ssh.KeyAlgoRSA {
		return false
	}
	signed := ssh.Marshal(struct {
		Purpose      string
		Session, Key []byte
	}{"hostkeys-prove-00@openssh.com", session, key.Marshal()})
	return key.Verify(signed, &signature) == nil
}

// stringsIn splits a sequence of length-prefixed strings; what is cut off is
// left out.
func stringsIn(b []byte) [][]byte {
	var all [][]byte
	for len(b) > 0 && len(all) < 64 {
		var next struct {
			Head []byte
			Rest []byte `ssh:"rest"`
		}
		if err := ssh.Unmarshal(b, &next); err != nil {
			break
		}
		all, b = append(all, next.Head), next.Rest
	}
	return all
}
