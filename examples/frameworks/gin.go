package frameworks

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/symbolon-id/symbolon/session"
)

// ginRequire is the middleware for gin, which has its own type of handlers.
func ginRequire(auth *session.Verifier, policies ...session.Policy) gin.HandlerFunc {
	return func(c *gin.Context) {
		letIn := false
		auth.RequireWith(policies...)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			letIn, c.Request = true, r
		})).ServeHTTP(c.Writer, c.Request)
		if !letIn {
			c.Abort() // the middleware has answered
		}
	}
}

// Gin needs ginRequire.
func Gin(a App) http.Handler {
	r := gin.New()
	r.GET("/notes/:id", ginRequire(a.Auth), func(c *gin.Context) {
		a.note(c.Request.Context(), c.Writer, c.Param("id"))
	})
	r.POST("/delete", ginRequire(a.Auth, session.AAL2), func(c *gin.Context) {
		a.note(c.Request.Context(), c.Writer, "all")
	})
	return r
}
