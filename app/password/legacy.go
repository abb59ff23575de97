package password

// Legacy returns every scheme that this package verifies beside the preferred
// one, with its default bounds, for [Hasher.Legacy].
func Legacy() []Verifier {
	return []Verifier{Argon2id{}}
}
