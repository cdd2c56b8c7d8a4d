module stranger

go 1.18

require golang.org/x/crypto v0.17.0
