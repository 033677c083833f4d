package decide

import "github.com/symbolon-id/symbolon"

// finding makes a finding about r's identity.
func finding(r symbolon.Reading, kind symbolon.FindingKind, user symbolon.UserID, detail string) symbolon.Finding {
	return symbolon.Finding{Kind: kind, Identity: r.Identity.ID, User: user, Detail: detail}
}

// firstOfEachKind keeps the first finding of each kind, because an identity has at most
// one open finding of a kind.
func firstOfEachKind(in []symbolon.Finding) []symbolon.Finding {
	var out []symbolon.Finding
	kinds := map[symbolon.FindingKind]bool{}
	for _, f := range in {
		if !kinds[f.Kind] {
			kinds[f.Kind] = true
			out = append(out, f)
		}
	}
	return out
}

// deny keeps the bond with user and hands the user out to nobody.
func deny(r symbolon.Reading, user symbolon.UserID, reason symbolon.FindingKind, err error, detail string, findings ...symbolon.Finding) symbolon.Plan {
	return symbolon.Plan{Action: symbolon.Deny, User: user, Reason: reason, Findings: findings, Err: denial(r, reason, err, detail)}
}

// disagree gives the identity no user, because the ledger and the application's row
// disagree about that user.
func disagree(r symbolon.Reading, user symbolon.UserID, detail string) symbolon.Plan {
	return deny(r, user, symbolon.ColumnDisagrees, symbolon.ErrOnHold, detail, finding(r, symbolon.ColumnDisagrees, user, detail))
}

// hold gives the identity no user until an operator decides.
func hold(r symbolon.Reading, reason symbolon.FindingKind, detail string, findings ...symbolon.Finding) symbolon.Plan {
	return symbolon.Plan{Action: symbolon.Hold, Reason: reason, Why: detail, Findings: findings, Err: denial(r, reason, symbolon.ErrOnHold, detail)}
}

func denial(r symbolon.Reading, reason symbolon.FindingKind, err error, detail string) error {
	return &symbolon.DenyError{Identity: r.Identity.ID, Finding: reason, Detail: detail, Err: err}
}
