package sqlstore

import "context"

func (s *Store) Check(ctx context.Context) error { return s.setup() }
