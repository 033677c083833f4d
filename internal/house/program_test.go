package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// unit is one of our packages of which the program symbolon consists, with its types.
type unit struct {
	*types.Package
	files []*ast.File
	info  *types.Info
}

// program returns our packages of the program symbolon, without tests. It reads them once.
func program(t *testing.T) []unit {
	t.Helper()
	reading.Do(func() { units = readProgram(t) })
	if len(units) == 0 {
		t.Fatal("the program was not read")
	}
	return units
}

var (
	reading sync.Once
	units   []unit
)

func readProgram(t *testing.T) []unit {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles", "./cmd/symbolon")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	type listed struct {
		ImportPath, Dir, Export string
		GoFiles                 []string
	}
	exports, ours := map[string]string{}, []listed{}
	for packages := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/") {
			ours = append(ours, p)
		}
	}
	fset := token.NewFileSet()
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	var read []unit
	for _, p := range ours {
		u := unit{info: &types.Info{Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			u.files = append(u.files, file)
		}
		if u.Package, err = config.Check(p.ImportPath, fset, u.files, u.info); err != nil {
			t.Fatal(err)
		}
		read = append(read, u)
	}
	return read
}

// use is one use of a function or method, or a go statement.
type use struct {
	in   string      // the function with the use, such as "work.Queue.keep"
	from *unit       // its package
	of   *types.Func // nil for a go statement
	on   types.Type  // the type whose method is used, or nil
}

// name of the used function without its type parameters, such as "(*sync.WaitGroup).Go".
func (u use) name() string {
	if u.of == nil {
		return "go"
	}
	return typeParameters.ReplaceAllString(u.of.Origin().FullName(), "")
}

var typeParameters = regexp.MustCompile(`\[.*\]`)

// uses returns every use of a function in the packages.
func uses(units []unit) (all []use) {
	for i := range units {
		u := &units[i]
		for _, file := range u.files {
			for _, decl := range file.Decls {
				in := u.Name() + "." + declared(decl)
				on := map[*ast.Ident]types.Type{}
				ast.Inspect(decl, func(n ast.Node) bool {
					switch n := n.(type) {
					case *ast.GoStmt:
						all = append(all, use{in: in, from: u})
					case *ast.SelectorExpr:
						if s := u.info.Selections[n]; s != nil {
							on[n.Sel] = s.Recv()
						}
					case *ast.Ident:
						if f, ok := u.info.Uses[n].(*types.Func); ok {
							all = append(all, use{in, u, f, on[n]})
						}
					}
					return true
				})
			}
		}
	}
	return all
}

// declared returns the name of a declaration: a function, a method with its type, or the
// first variable.
func declared(decl ast.Decl) string {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Recv == nil {
			return decl.Name.Name
		}
		on := decl.Recv.List[0].Type
		for {
			switch of := on.(type) {
			case *ast.StarExpr:
				on = of.X
				continue
			case *ast.IndexExpr:
				on = of.X
				continue
			case *ast.IndexListExpr:
				on = of.X
				continue
			case *ast.Ident:
				return of.Name + "." + decl.Name.Name
			}
			return decl.Name.Name
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok {
				return v.Names[0].Name
			}
		}
	}
	return "?"
}
