package notes

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/symbolon-id/symbolon"
)

// home greets strangers and redirects users to their notes.
func (a *App) home(w http.ResponseWriter, r *http.Request) {
	if _, ok := symbolon.UserFrom(r.Context()); ok {
		http.Redirect(w, r, "/notes", http.StatusSeeOther)
		return
	}
	a.render(w, r, http.StatusOK, "home", "Notes", nil)
}

// notesPage is the data of the template "notes".
type notesPage struct {
	Notes  []Note
	Draft  string // typed text that was refused
	Wrong  string // why it was refused
	Older  int64  // the last note's ID if there are more, else 0
	Before bool   // this is not the first page
	Max    int
}

func (a *App) listNotes(w http.ResponseWriter, r *http.Request) {
	a.showNotes(w, r, http.StatusOK, notesPage{})
}

func (a *App) showNotes(w http.ResponseWriter, r *http.Request, status int, page notesPage) {
	u, _ := symbolon.UserFrom(r.Context())
	before, _ := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64)
	notes, more, err := a.store.list(r.Context(), u.ID, max(0, before))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	page.Notes, page.Before, page.Max = notes, before > 0, maxBody
	if more {
		page.Older = notes[len(notes)-1].ID
	}
	a.render(w, r, status, "notes", "Your notes", page)
}

func (a *App) addNote(w http.ResponseWriter, r *http.Request) {
	u, _ := symbolon.UserFrom(r.Context())
	if err := r.ParseForm(); err != nil {
		a.fail(w, r, badForm(err))
		return
	}
	typed := r.PostFormValue("body")
	body, wrong := checkBody(typed)
	if wrong != "" {
		a.showNotes(w, r, http.StatusUnprocessableEntity, notesPage{Draft: typed, Wrong: wrong})
		return
	}
	if err := a.store.add(r.Context(), u.ID, body); err != nil {
		a.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/notes", http.StatusSeeOther)
}

func (a *App) deleteNote(w http.ResponseWriter, r *http.Request) {
	u, _ := symbolon.UserFrom(r.Context())
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		a.nothingHere(w, r)
		return
	}
	err = a.store.remove(r.Context(), u.ID, id)
	if errors.Is(err, errNoNote) {
		a.nothingHere(w, r)
		return
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/notes", http.StatusSeeOther)
}
