package main

import (
	"encoding/json"
	"fmt"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/resource"
)

// A codec is how the journal stores resources: by their kinds.
type codec struct{}

// Encode returns r as JSON, without its secrets.
func (codec) Encode(r server.Resource) (json.RawMessage, error) {
	spec, err := resource.Encode(r)
	if err != nil {
		return nil, err
	}
	return json.Marshal(spec)
}

// Decode returns the resource that Encode was given, with its secret.
func (codec) Decode(data json.RawMessage, secrets map[string]server.Secret) (server.Resource, error) {
	var spec resource.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("reading a resource: %w", err)
	}
	r, err := resource.Decode(spec)
	if err != nil {
		return nil, err
	}
	if p, ok := r.(resource.Password); ok && !p.Locked {
		p.Secret = secrets[server.PasswordSecret(p.Account)]
		return p, nil
	}
	if f, ok := r.(resource.Factor); ok {
		f.Secret, f.Lent = secrets[server.FactorSecret(f.Account)], secrets[server.LentSecret(f.Account)]
		return f, nil
	}
	return r, nil
}
