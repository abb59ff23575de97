package control

import "github.com/holdfast-security/holdfast/server"

// The numbers that a control may name are in testdata/identifiers, one file for
// each benchmark and version; a test compares. What no benchmark asks for has no
// number, such as keys without passwords.

// cis are the numbers of a rule in the CIS benchmarks of Debian 12 and 13;
// Ubuntu 24.04 has those of Debian 12.
func cis(debian12, debian13 string) []server.Reference {
	return []server.Reference{
		{Benchmark: "CIS Debian 12", Version: "1.1.0", Number: debian12},
		{Benchmark: "CIS Debian 13", Version: "1.0.0", Number: debian13},
		{Benchmark: "CIS Ubuntu 24.04", Version: "1.0.0", Number: debian12},
	}
}

// stig is the number of a rule in the STIG of Ubuntu 24.04.
func stig(number string) []server.Reference {
	return []server.Reference{{Benchmark: "STIG Ubuntu 24.04", Version: "V1R5", Number: number}}
}

// anssi is the number of a recommendation in ANSSI's BP-028.
func anssi(number string) []server.Reference {
	return []server.Reference{{Benchmark: "ANSSI BP-028", Version: "2.0", Number: number}}
}

// nist are controls of NIST SP 800-53. The sources that relate rules to them do
// so in the words of revision 4.
func nist(numbers ...string) []server.Reference {
	all := make([]server.Reference, len(numbers))
	for i, n := range numbers {
		all[i] = server.Reference{Benchmark: "NIST SP 800-53", Version: "Rev. 4", Number: n}
	}
	return all
}
