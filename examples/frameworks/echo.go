package frameworks

import (
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/symbolon-id/symbolon/session"
)

// Echo wraps the middleware with its own WrapMiddleware.
func Echo(a App) http.Handler {
	e := echo.New()
	e.GET("/notes/:id", func(c *echo.Context) error {
		a.note(c.Request().Context(), c.Response(), c.Param("id"))
		return nil
	}, echo.WrapMiddleware(a.Auth.Require))
	e.POST("/delete", func(c *echo.Context) error {
		a.note(c.Request().Context(), c.Response(), "all")
		return nil
	}, echo.WrapMiddleware(a.Auth.RequireWith(session.AAL2)))
	return e
}
