package dockerfile_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	dfparser "github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/kanso-build/kanso/resolve/dockerfile"
)

// TestEveryInstructionAndFlagHasTwoCases asks BuildKit's packages what the
// language has: the instructions, the fields of their types, the flags that
// their parsers declare and the fields of mounts. Each must be in two
// Dockerfiles of ours at least.
func TestEveryInstructionAndFlagHasTwoCases(t *testing.T) {
	count := map[string]int{}
	for _, name := range slices.Collect(maps.Keys(command.Commands)) {
		count[strings.ToUpper(name)] = 0
	}
	for _, flag := range declaredFlags(t) {
		count[flag] = 0
	}
	for _, v := range []any{
		instructions.Stage{}, instructions.AddCommand{}, instructions.ArgCommand{}, instructions.CmdCommand{}, instructions.CopyCommand{},
		instructions.EntrypointCommand{}, instructions.EnvCommand{}, instructions.ExposeCommand{}, instructions.HealthCheckCommand{},
		instructions.LabelCommand{}, instructions.MaintainerCommand{}, instructions.OnbuildCommand{}, instructions.RunCommand{},
		instructions.ShellCommand{}, instructions.StopSignalCommand{}, instructions.UserCommand{}, instructions.VolumeCommand{},
		instructions.WorkdirCommand{}, instructions.Mount{},
	} {
		for _, f := range fields(reflect.ValueOf(v), true) {
			count[f] = 0
		}
	}
	// The parser has no here-documents for these two.
	delete(count, "CmdCommand.Files")
	delete(count, "EntrypointCommand.Files")
	if len(count) < 100 {
		t.Fatalf("the language has only %d things", len(count))
	}
	known := maps.Clone(count)
	for _, text := range corpus(t) {
		for thing := range things(text) {
			if _, ok := known[thing]; ok {
				count[thing]++
			}
		}
	}
	for _, thing := range slices.Sorted(maps.Keys(count)) {
		if count[thing] < 2 {
			t.Errorf("%s is in %d Dockerfiles", thing, count[thing])
		}
	}
}

// things are what a Dockerfile uses of the language.
func things(text []byte) map[string]bool {
	out := map[string]bool{}
	read, err := dfparser.Parse(bytes.NewReader(text))
	if err != nil {
		return out
	}
	for _, n := range read.AST.Children {
		name := strings.ToUpper(n.Value)
		out[name] = true
		for _, f := range n.Flags {
			flag, _, _ := strings.Cut(f, "=")
			out[name+" "+flag] = true
		}
		ic, err := instructions.ParseInstructionWithLinter(n, linter.New(&linter.Config{}))
		if err != nil {
			continue
		}
		use(out, ic)
		if run, ok := ic.(*instructions.RunCommand); ok {
			// Fields of mounts are only read when variables are replaced.
			if err := run.Expand(func(word string) (string, error) { return word, nil }); err != nil {
				continue
			}
			for _, m := range instructions.GetMounts(run) {
				use(out, m)
			}
		}
	}
	return out
}

func use(out map[string]bool, v any) {
	for _, f := range fields(reflect.Indirect(reflect.ValueOf(v)), false) {
		out[f] = true
	}
}

// fields are the exported fields of a struct and of those embedded in it: all,
// or those that are set.
func fields(v reflect.Value, all bool) []string {
	var out []string
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct && f.IsExported():
			for _, name := range fields(v.Field(i), all) {
				_, field, _ := strings.Cut(name, ".")
				out = append(out, v.Type().Name()+"."+field)
			}
		case f.IsExported() && (all || !v.Field(i).IsZero()):
			out = append(out, v.Type().Name()+"."+f.Name)
		}
	}
	return out
}

// declaredFlags are the flags that the parsers of instructions declare, by the
// calls that do it.
func declaredFlags(t *testing.T) []string {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", "github.com/moby/buildkit/frontend/dockerfile/instructions").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	var flags []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			instruction := "RUN" // its flags are declared by hooks
			if name, ok := strings.CutPrefix(fn.Name.Name, "parse"); ok {
				instruction = strings.ToUpper(name)
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if name := declares(n); name != "" {
					flags = append(flags, instruction+" --"+name)
				}
				return true
			})
		}
	}
	if !slices.Contains(flags, "COPY --from") || !slices.Contains(flags, "RUN --mount") {
		t.Fatalf("the flags are %q", flags)
	}
	return flags
}

// declares is the name of the flag that a call declares.
func declares(n ast.Node) string {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return ""
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"AddBool", "AddString", "AddStrings"}, sel.Sel.Name) {
		return ""
	}
	lit, ok := call.Args[0].(*ast.BasicLit)
	if !ok {
		return ""
	}
	name, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return name
}

// corpus are all Dockerfiles of the project's tests of the language.
func corpus(t testing.TB) map[string][]byte {
	out := map[string][]byte{}
	for _, root := range []string{"testdata/plans", "../../testdata/dockerfile"} {
		err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(file) != ".txtar" {
				return err
			}
			a, err := txtar.ParseFile(file)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			for _, f := range a.Files {
				if filepath.Base(f.Name) == "Dockerfile" {
					out[file+" "+f.Name] = f.Data
				}
			}
			return nil
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	return out
}

// TestCorpusIsLowered lowers every Dockerfile of the corpus: none may be
// refused but for a reason that stands in the file.
func TestCorpusIsLowered(t *testing.T) {
	n := 0
	for name, text := range corpus(t) {
		n++
		got, err := dockerfile.Lower(t.Context(), text, dockerfile.Options{}, anyImage{})
		if err != nil && !strings.HasPrefix(err.Error(), "Dockerfile") {
			t.Errorf("%s: %v names no place", name, err)
		}
		check(t, got)
	}
	if n < 100 {
		t.Errorf("the corpus has %d Dockerfiles", n)
	}
}
