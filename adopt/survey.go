package adopt

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/symbolon-id/symbolon"
)

// maxPlaces is how many keys of metadata_public a plan looks at besides Options.By.
const maxPlaces = 20

// survey counts the places outside of Options.By that name a user for an identity that the
// plan does not bind. It is advice for the operator and proves nothing.
func (p *planner) survey(id symbolon.Identity, entry *symbolon.Entry) {
	p.counts.Undecided++
	switch {
	case !p.Linker.When.Admits(id):
		p.counts.NotEligible++
	case entry == nil:
		p.counts.New++
	}
	if p.options.EmailColumn != "" && !p.options.Email {
		for _, email := range id.Emails() {
			p.mail[digestOf(email)] = append(p.mail[digestOf(email)], p.counts.Undecided)
		}
	}
	if len(p.options.Columns) > 0 {
		p.undecided[id.ID] = true
	}
	places := []symbolon.Proof{symbolon.ByExternalID}
	var top map[string]json.RawMessage
	if json.Unmarshal(id.MetadataPublic, &top) == nil {
		for key := range top {
			places = append(places, symbolon.Proof("metadata_public."+key))
		}
	}
	for _, by := range places {
		if slices.Contains(p.options.By, by) || CheckProof(by) != nil {
			continue
		}
		at, known := p.index.byUser[p.Linker.ClaimOf(id, by)]
		if known && p.claimTo(by, at).is == free {
			p.found(by)
		}
	}
}

func (p *planner) found(by symbolon.Proof) {
	if p.counts.Places == nil {
		p.counts.Places = map[symbolon.Proof]int{}
	}
	if _, known := p.counts.Places[by]; known || len(p.counts.Places) < maxPlaces {
		p.counts.Places[by]++
	}
}

// surveyColumns counts, for each of Options.Columns, the rows that hold the ID of an identity
// that the plan does not bind.
func (p *planner) surveyColumns(ctx context.Context) error {
	for _, column := range p.options.Columns {
		by := symbolon.Proof("column:" + column)
		if len(p.undecided) == 0 || slices.Contains(p.options.By, by) {
			continue
		}
		err := p.freeRows(ctx, column, func(value string) {
			if id, err := symbolon.ParseIdentityID(value); err == nil && p.undecided[id] {
				p.found(by)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// surveyEmail counts the identities that the plan does not bind and that have the address of
// a free row. Whether a side has verified the address is not asked.
func (p *planner) surveyEmail(ctx context.Context) error {
	if len(p.mail) == 0 {
		return nil
	}
	found := map[int]bool{}
	err := p.freeRows(ctx, p.options.EmailColumn, func(value string) {
		if normal, ok := symbolon.NormalEmail(value); ok {
			for _, n := range p.mail[digestOf(normal)] {
				found[n] = true
			}
		}
	})
	p.counts.Mailed = len(found)
	return err
}

// freeRows calls visit with the value of a column in each row that an identity may still get.
func (p *planner) freeRows(ctx context.Context, column string, visit func(value string)) error {
	for after := symbolon.UserID(""); ; {
		rows, err := p.Users.UserRows(ctx, p.project(), after, column, page)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Owner() == "" && !r.Retired {
				visit(r.Column)
			}
		}
		if len(rows) < page {
			return nil
		}
		after = rows[len(rows)-1].ID
	}
}
