package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/layers/cache"
)

// cacheVerb is about what is kept between builds.
func (a *app) cacheVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "cache",
		Short: "See and remove what is kept between builds",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("no verb %q of the cache; want ls, du, prune or rm", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.cacheList(), a.cacheUse(), a.cachePrune(), a.cacheRemove())
	return c
}

// withCache calls do with the cache open. Nothing is evicted for its limit.
func (a *app) withCache(flag string, do func(d *cache.Dir) error) (err error) {
	dir, err := a.env.cacheDir(flag)
	if err != nil {
		return err
	}
	d, err := cache.Open(dir, cache.Options{Remove: removeTree, Now: now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return do(d)
}

func (a *app) cacheList() *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List what is kept", Args: atMost(0, "")}
	dir := cacheFlag(c)
	asJSON := c.Flags().Bool("json", false, "print it as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.withCache(*dir, func(d *cache.Dir) error {
			list, err := d.List(c.Context())
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(a.stdout, append([]cache.Entry{}, list...))
			}
			out := &errWriter{w: a.stdout}
			table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			for _, e := range list {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", e.Kind, e.Name, size(e.Size), e.Used.UTC().Format(time.RFC3339))
			}
			_ = table.Flush() // out keeps its errors
			return out.err
		})
	}
	return c
}

func (a *app) cacheUse() *cobra.Command {
	c := &cobra.Command{Use: "du", Short: "Say how much is kept", Args: atMost(0, "")}
	dir := cacheFlag(c)
	asJSON := c.Flags().Bool("json", false, "print it as JSON, in bytes")
	c.RunE = func(c *cobra.Command, _ []string) error {
		limit, err := a.env.cacheLimit()
		if err != nil {
			return err
		}
		return a.withCache(*dir, func(d *cache.Dir) error {
			list, err := d.List(c.Context())
			if err != nil {
				return err
			}
			kinds := map[string]int64{"total": 0}
			for _, e := range list {
				kinds[e.Kind] += e.Size
				kinds["total"] += e.Size
			}
			if limit > 0 {
				kinds["limit"] = limit
			}
			if *asJSON {
				return printJSON(a.stdout, kinds)
			}
			return useText(a.stdout, kinds)
		})
	}
	return c
}

// useText says how big the kinds of entries are.
func useText(w io.Writer, kinds map[string]int64) error {
	out := &errWriter{w: w}
	for _, k := range []string{cache.KindBlob, cache.KindTree, cache.KindPackages, cache.KindMount, cache.KindValue, cache.KindLayer, "total", "limit"} {
		if n, ok := kinds[k]; ok {
			fmt.Fprintf(out, "%-9s %s\n", k, size(n))
		}
	}
	return out.err
}

func (a *app) cachePrune() *cobra.Command {
	c := &cobra.Command{
		Use:   "prune",
		Short: "Remove what was not used for longest",
		Long: `Remove what was not used for longest, until no more is kept than the limit. What
running builds use stays.`,
		Args: atMost(0, ""),
	}
	dir := cacheFlag(c)
	keep := c.Flags().String("keep-bytes", "", "how much may stay, `SIZE` such as 10GB, else $KANSO_CACHE_LIMIT")
	unused := c.Flags().Duration("unused-for", 0, "remove also what was not used for a `TIME` such as 168h")
	c.RunE = func(c *cobra.Command, _ []string) error {
		p := cache.Policy{}
		var err error
		switch {
		case *keep != "":
			if p.Keep, err = parseSize(*keep); err != nil {
				return usagef("--keep-bytes %s: %w", *keep, err)
			}
		default:
			if p.Keep, err = a.env.cacheLimit(); err != nil {
				return err
			}
			if p.Keep == 0 {
				p.Keep = -1 // no limit
			}
		}
		if *unused < 0 {
			return usagef("--unused-for %s: want a time that is over", *unused)
		}
		if *unused > 0 {
			p.Since = now().Add(-*unused)
		}
		return a.withCache(*dir, func(d *cache.Dir) error {
			out, err := d.Prune(c.Context(), p)
			return errors.Join(err, a.pruned(out))
		})
	}
	return c
}

func (a *app) cacheRemove() *cobra.Command {
	c := &cobra.Command{
		Use:   "rm NAME... | --all",
		Short: "Remove entries",
		Long:  `Remove the entries of a kind (blob, tree, packages, mount, value or layer), or those whose name begins with NAME. What running builds use stays.`,
	}
	dir := cacheFlag(c)
	every := c.Flags().Bool("all", false, "remove everything")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *every == (len(args) > 0) {
			return usagef("kanso cache rm needs names, or --all")
		}
		return a.withCache(*dir, func(d *cache.Dir) error {
			out, err := d.Remove(c.Context(), args)
			if err == nil && len(args) > 0 && len(out.Removed)+out.InUse == 0 {
				return fmt.Errorf("cache: no entry is called %s", strings.Join(args, " or "))
			}
			return errors.Join(err, a.pruned(out))
		})
	}
	return c
}

// pruned says what was removed.
func (a *app) pruned(p cache.Pruned) error {
	var n int64
	for _, e := range p.Removed {
		n += e.Size
	}
	out := &errWriter{w: a.stdout}
	fmt.Fprintf(out, "removed %d entries, %s; %s kept\n", len(p.Removed), size(n), size(p.Kept))
	if p.InUse > 0 {
		fmt.Fprintf(out, "%d entries stay because a build uses them\n", p.InUse)
	}
	return out.err
}

// printJSON prints a value for programs.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// defaultCacheLimit is how many bytes are kept if nobody says otherwise.
const defaultCacheLimit = 20_000_000_000

// cacheLimit is what $KANSO_CACHE_LIMIT says; zero is no limit.
func (e environ) cacheLimit() (int64, error) {
	switch text := e["KANSO_CACHE_LIMIT"]; text {
	case "":
		return defaultCacheLimit, nil
	case "none":
		return 0, nil
	default:
		n, err := parseSize(text)
		if err == nil && n == 0 {
			err = errors.New("want more than nothing, or none for no limit")
		}
		if err != nil {
			return 0, usagef("KANSO_CACHE_LIMIT is %q: %w", text, err)
		}
		return n, nil
	}
}

// parseSize reads a number of bytes: 500000, 10GB, 1.5TB, 512MiB.
func parseSize(s string) (int64, error) {
	number := strings.TrimRight(strings.TrimSpace(s), "BKMGTPikmgtpb ")
	unit := strings.ToUpper(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(s), number)))
	factor := 1.0
	if unit = strings.TrimSuffix(unit, "B"); unit != "" {
		base := 1000.0
		if u, ok := strings.CutSuffix(unit, "I"); ok {
			unit, base = u, 1024
		}
		i := strings.Index("KMGTP", unit)
		if i < 0 || len(unit) != 1 {
			return 0, errors.New("want a number of bytes such as 10GB or 512MiB")
		}
		factor = math.Pow(base, float64(i+1))
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n*factor >= math.MaxInt64 {
		return 0, errors.New("want a number of bytes such as 10GB or 512MiB")
	}
	return int64(n * factor), nil
}
