package symbolon

// Record is all that is known of one person here.
type Record struct {
	Link     *Link // nil: the ledger has no entry
	Row      *Row  // the application's row, nil: none
	Findings []Finding
	Events   []Event // oldest first, the newest 100
}
