package main

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// TestCasesCoverTheLanguage counts in how many cases each instruction and each of
// its flags is, as the parser knows them: its commands' fields that are not of no
// value. Twice is the least.
func TestCasesCoverTheLanguage(t *testing.T) {
	files := map[string]map[string]bool{}
	for word := range command.Commands {
		files[word] = map[string]bool{}
	}
	for _, c := range languageCommands() {
		for name := range fieldsOf(reflect.ValueOf(c), true) {
			files[name] = map[string]bool{}
		}
	}
	for _, flag := range []string{"mount", "network", "security"} {
		files["run --"+flag] = map[string]bool{}
	}
	for _, kind := range []instructions.MountType{instructions.MountTypeBind, instructions.MountTypeCache, instructions.MountTypeTmpfs, instructions.MountTypeSecret, instructions.MountTypeSSH} {
		files["mount type "+string(kind)] = map[string]bool{}
	}
	for _, file := range caseFiles(t) {
		for name := range spoken(t, file) {
			if files[name] != nil {
				files[name][file] = true
			}
		}
	}
	if len(files) < 60 {
		t.Fatalf("%d names: the parser has other types", len(files))
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if n := len(files[name]); n < 2 {
			t.Errorf("%s is in %d cases", name, n)
		}
	}
}

// languageCommands are one of each of the parser's commands.
func languageCommands() []any {
	return []any{
		instructions.Stage{}, instructions.AddCommand{}, instructions.ArgCommand{}, instructions.CmdCommand{}, instructions.CopyCommand{},
		instructions.EntrypointCommand{}, instructions.EnvCommand{}, instructions.ExposeCommand{}, instructions.HealthCheckCommand{},
		instructions.LabelCommand{}, instructions.MaintainerCommand{}, instructions.OnbuildCommand{}, instructions.RunCommand{},
		instructions.ShellCommand{}, instructions.StopSignalCommand{}, instructions.UserCommand{}, instructions.VolumeCommand{},
		instructions.WorkdirCommand{}, instructions.Mount{},
	}
}

// fieldsOf are the exported fields of a struct, and of those in it, that have a
// value; or all of them. What only says where a command is, is none.
func fieldsOf(v reflect.Value, all bool) map[string]bool {
	fields := map[string]bool{}
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v = reflect.New(v.Type().Elem())
		}
		v = v.Elem()
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		value := v.Field(i)
		pointsToStruct := f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct
		switch {
		case !f.IsExported() || slices.Contains([]string{"Location", "Comments", "DocComment", "SourceCode", "Commands", "OrigCmd"}, f.Name):
		case f.Type.Kind() == reflect.Struct || pointsToStruct && (all || !value.IsNil()):
			maps.Copy(fields, fieldsOf(value, all))
		case all || !value.IsZero():
			fields[v.Type().Name()+"."+f.Name] = true
		}
	}
	return fields
}

// spoken are the names of what is in a case's Dockerfile; none if it is not one.
func spoken(t *testing.T, file string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	c := readCase(t, file)
	for _, f := range c.archive.Files {
		if f.Name != "Dockerfile" {
			continue
		}
		parsed, err := parser.Parse(bytes.NewReader(f.Data))
		if err != nil {
			return names
		}
		for _, n := range parsed.AST.Children {
			names[strings.ToLower(n.Value)] = true
		}
		stages, _, err := instructions.Parse(parsed.AST, nil)
		if err != nil {
			return names
		}
		for _, s := range stages {
			maps.Copy(names, fieldsOf(reflect.ValueOf(s), false))
			for _, one := range s.Commands {
				maps.Copy(names, commandNames(one))
			}
		}
	}
	return names
}

func commandNames(one instructions.Command) map[string]bool {
	names := fieldsOf(reflect.ValueOf(one), false)
	run, ok := one.(*instructions.RunCommand)
	if !ok {
		return names
	}
	for _, flag := range run.FlagsUsed {
		names["run --"+flag] = true
	}
	_ = run.Expand(func(word string) (string, error) { return word, nil })
	for _, m := range instructions.GetMounts(run) {
		maps.Copy(names, fieldsOf(reflect.ValueOf(*m), false))
		names["mount type "+string(m.Type)] = true
	}
	return names
}
