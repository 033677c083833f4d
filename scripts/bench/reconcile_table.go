package main

import (
	"fmt"
	"strings"

	"github.com/symbolon-id/symbolon/sqlstore"
)

const reconcileHeading = "## Reconcile"

func (b *reconcileBench) table(fake, real passes, links map[sqlstore.Dialect]linked) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n%v\n%v\n", reconcileHeading, fake, real)
	for _, d := range dialects {
		fmt.Fprintf(&out, "%s bare/ours %.2f\n", d, ratio(links[d].bare, links[d].ours))
	}
	return out.String()
}
