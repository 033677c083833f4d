package frameworks

import (
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/symbolon-id/symbolon/session"
)

// Echo wraps the middleware by its own WrapMiddleware.
func Echo(a App) http.Handler {
	require := func(policies ...session.Policy) echo.MiddlewareFunc {
		return echo.WrapMiddleware(func(next http.Handler) http.Handler { return a.Auth.Require(next, policies...) })
	}
	e := echo.New()
	e.GET("/notes/:id", func(c *echo.Context) error {
		a.note(c.Request().Context(), c.Response(), c.Param("id"))
		return nil
	}, require())
	e.POST("/delete", func(c *echo.Context) error {
		a.note(c.Request().Context(), c.Response(), "all")
		return nil
	}, require(session.AAL2))
	return e
}
