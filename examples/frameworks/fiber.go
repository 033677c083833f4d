package frameworks

import (
	"net/http"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/session"
)

// fiberRequire is the middleware for fiber, which is not built on net/http. Fiber's
// adaptor converts the request, and fiberRequire puts the principal into fiber's context.
func fiberRequire(auth *session.Verifier, policies ...session.Policy) fiber.Handler {
	return func(c fiber.Ctx) error {
		var principal *symbolon.Principal
		ask := adaptor.HTTPHandler(auth.RequireWith(policies...)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			principal = symbolon.PrincipalFrom(r.Context())
		})))
		if err := ask(c); err != nil || principal == nil {
			return err // the middleware has answered
		}
		c.SetContext(symbolon.WithPrincipal(c.Context(), principal))
		return c.Next()
	}
}

// Fiber needs fiberRequire.
func Fiber(a App) *fiber.App {
	app := fiber.New()
	app.Get("/notes/:id", fiberRequire(a.Auth), func(c fiber.Ctx) error {
		a.note(c.Context(), c, c.Params("id"))
		return nil
	})
	app.Post("/delete", fiberRequire(a.Auth, session.AAL2), func(c fiber.Ctx) error {
		a.note(c.Context(), c, "all")
		return nil
	})
	return app
}
