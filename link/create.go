package link

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// create asks the application, outside of every transaction.
func (l *Linker) create(ctx context.Context, id symbolon.Identity, p decide.Policy) error {
	if l.Creator == nil {
		return errors.New("symbolon: the application makes its users itself, and Linker.Creator is not set")
	}
	user, err := l.Creator.Create(ctx, id)
	switch {
	case errors.Is(err, symbolon.ErrCannotCreate):
		p.Answer.Denial = err
	case errors.Is(err, symbolon.ErrUnavailable):
		return fmt.Errorf("ask the application for a user: %w", err)
	case err != nil:
		return fmt.Errorf("ask the application for a user: %w: %w", symbolon.ErrUnavailable, err)
	case !decide.IsKey(string(user)):
		return fmt.Errorf("ask the application for a user: what it answered cannot be an ID: %w", symbolon.ErrUnavailable)
	default:
		p.Answer.User = user
	}
	return nil
}
