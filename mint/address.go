package mint

import "github.com/symbolon-id/symbolon"

const addressPrefix = "a1."

// Addresses returns what the ledger records of an e-mail address, once for each secret, the
// signing secret first. The address is in the form of [symbolon.NormalEmail]. Without the
// secrets nobody can find out from a record which address it is, nor whether a guess is right.
// Without a secret the result is empty.
func (m *Minter) Addresses(address string) []string {
	records := make([]string, len(m.addresses))
	for i, key := range m.addresses {
		records[i] = addressPrefix + m.proof(key, symbolon.UserID(address))
	}
	return records
}
