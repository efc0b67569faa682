package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestSecurityNamesItsTests reads the tables of SECURITY.md: each test is there,
// and where it is a table of cases, the row is the name of one.
func TestSecurityNamesItsTests(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]map[string]*ast.FuncDecl{
		"oci": testsOf(t, "../../oci"), "layers": testsOf(t, "../../layers"), "cache": testsOf(t, "../../layers/cache"),
		"sandbox": testsOf(t, "../../layers/sandbox"), "secrets": testsOf(t, "../../layers/secrets"), "main": testsOf(t, "."),
	}
	for _, m := range regexp.MustCompile("(?m)^\\| (.+) \\| `(testdata/[^`]+)` \\|$").FindAllStringSubmatch(string(data), -1) {
		if _, err := os.Stat(filepath.Join("..", "..", m[2])); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
	}
	counts := map[string]int{}
	for _, m := range regexp.MustCompile("(?m)^\\| (.+) \\| `(\\w+)\\.(\\w+)` \\|$").FindAllStringSubmatch(string(data), -1) {
		what, pkg, name := m[1], m[2], m[3]
		counts[pkg]++
		f := tests[pkg][name]
		if f == nil {
			t.Errorf("%s: there is no %s.%s", what, pkg, name)
			continue
		}
		if literals, cases := namesIn(f); cases && !literals[what] {
			t.Errorf("%s.%s has no case %q", pkg, name, what)
		}
	}
	if counts["oci"] < 45 || counts["layers"] < 60 {
		t.Errorf("%d rows of registries, %d of archives", counts["oci"], counts["layers"])
	}
}

// TestSecurityNamesItsScripts reads the rows that name scripts: each is there and is
// run by make or by CI.
func TestSecurityNamesItsScripts(t *testing.T) {
	root := filepath.Join("..", "..")
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	runs := read("Makefile") + read(".ci/run")
	for _, m := range regexp.MustCompile(`for name in (.+); do`).FindAllStringSubmatch(read("testdata/e2e/all.sh"), -1) {
		for name := range strings.FieldsSeq(m[1]) {
			runs += " testdata/e2e/" + name + ".sh" // make test runs it by that list
		}
	}
	rows := regexp.MustCompile("(?m)^\\| (.+) \\| `(testdata/[\\w/.]+)` \\|$").FindAllStringSubmatch(read("SECURITY.md"), -1)
	if len(rows) == 0 {
		t.Error("there are none")
	}
	for _, m := range rows {
		if info, err := os.Stat(filepath.Join(root, m[2])); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s: there is no %s", m[1], m[2])
		}
		if !strings.Contains(runs, m[2]) {
			t.Errorf("%s: nothing runs %s", m[1], m[2])
		}
	}
}

// testsOf are the test functions of a package.
func testsOf(t *testing.T, dir string) map[string]*ast.FuncDecl {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*ast.FuncDecl{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				all[f.Name.Name] = f
			}
		}
	}
	return all
}

// namesIn are the keys of a test's tables, and whether they are run as cases.
func namesIn(f *ast.FuncDecl) (literals map[string]bool, cases bool) {
	literals = map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if l, ok := n.Key.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if s, err := strconv.Unquote(l.Value); err == nil {
					literals[s] = true
				}
			}
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Run" && len(n.Args) == 2 {
				if id, ok := n.Args[0].(*ast.Ident); ok && id.Name == "name" {
					cases = true
				}
			}
		}
		return true
	})
	return literals, cases
}
