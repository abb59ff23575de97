module github.com/holdfast-security/holdfast

go 1.26
