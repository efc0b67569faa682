package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kanso-build/kanso/layers"
)

// listingKind is the kind of value under which the store keeps what a layer
// holds, by its diff id.
const listingKind = "listing-2"

// usersKind is that of what a layer says of the user database.
const usersKind = "users-1"

// listing returns what a layer holds. A layer that nobody listed yet is read
// once, in full.
func (b *Builder) listing(ctx context.Context, l laid) (layers.Listing, error) {
	data, ok, err := b.Store.Value(listingKind, l.diffID.String())
	if err != nil {
		return layers.Listing{}, fmt.Errorf("list layer %s: %w", l.diffID, err)
	}
	var list layers.Listing
	if ok && json.Unmarshal(data, &list) == nil {
		return list, nil
	}
	b.note("read the names in layer %s", l.diffID)
	r, err := b.uncompressed(ctx, l)
	if err != nil {
		return layers.Listing{}, fmt.Errorf("list layer %s: %w", l.diffID, err)
	}
	defer r.Close()
	if list, err = layers.List(ctx, r); err == nil {
		err = finish(r)
	}
	if err != nil {
		return layers.Listing{}, fmt.Errorf("list layer %s: %w", l.diffID, err)
	}
	return list, b.keepListing(l.diffID, list)
}

// uncompressed reads a layer, by way of the cache if it is far: who asks what is
// in it often unpacks it next.
func (b *Builder) uncompressed(ctx context.Context, l laid) (io.ReadCloser, error) {
	far, ok := l.Layer.(*farLayer)
	if !ok || b.Client.Cache == nil {
		return l.Uncompressed()
	}
	file, err := b.Client.Fetch(ctx, l.Layer)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	r, err := layers.Decompress(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return far.checked(&nested{r, f}), nil
}

func (b *Builder) keepListing(diffID v1.Hash, list layers.Listing) error {
	data, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode listing: %w", err)
	}
	return b.keepListed(diffID, data)
}

// keepListed is keepListing for a list in JSON.
func (b *Builder) keepListed(diffID v1.Hash, data []byte) error {
	if err := b.Store.PutValue(listingKind, diffID.String(), data); err != nil {
		return fmt.Errorf("keep listing: %w", err)
	}
	return nil
}

// view merges the listings of layers from number first on, counted from the
// bottom.
func (b *Builder) view(ctx context.Context, st *state, first int) (*layers.View, error) {
	var lists []layers.Listing
	for _, l := range st.layers[first:] {
		list, err := b.listing(ctx, l)
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	return layers.NewView(lists), nil
}

// destView returns the view in which a destination is looked up. It is nil
// where the base says nothing of the destination, which needs no layer; the
// answer depends on the base's configuration alone, never on what happens to
// be cached, so that every machine builds the same layers.
func (b *Builder) destView(ctx context.Context, st *state, dest string) (*layers.View, error) {
	if !st.wild && !mayHave(st.base, dest) {
		return nil, nil //nolint:nilnil // no view is an answer, see above
	}
	return b.glimpse(ctx, st, 0, dest)
}

// whole is the view of all layers. It belongs to the state and changes with it.
func (b *Builder) whole(ctx context.Context, st *state) (*layers.View, error) {
	o := st.seen
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.view == nil {
		o.view = layers.NewView(nil)
	}
	if err := b.fetchUnlisted(ctx, o.stack[o.next:]); err != nil {
		return nil, err
	}
	for ; o.next < len(o.stack); o.next++ {
		l := &o.stack[o.next]
		if l.list == nil {
			list, err := b.listing(ctx, l.laid)
			if err != nil {
				return nil, err
			}
			l.list = &list
		}
		o.view.Apply(*l.list)
		l.list = nil
	}
	return o.view, nil
}

// fetchUnlisted brings the layers that are far away and were never listed into
// the cache, several at once: a step that puts files there is seldom alone, and
// what it is followed by needs the layers, too.
func (b *Builder) fetchUnlisted(ctx context.Context, stack []seenLayer) error {
	if b.Client == nil || b.Client.Cache == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, l := range stack {
		far, ok := l.laid.Layer.(*farLayer)
		if !ok || l.list != nil {
			continue
		}
		if _, ok := far.from.repository(); !ok {
			continue // it is on this machine
		}
		if b.Store.HasValue(listingKind, l.laid.diffID.String()) {
			continue
		}
		g.Go(func() error {
			_, err := b.Client.Fetch(ctx, far)
			return err
		})
	}
	return g.Wait()
}

// mayHave says whether a base may have something at the top directory of dest:
// /app for /app/src. It goes by what the configuration and the history name;
// a base whose history does not tell of every layer may have anything.
func mayHave(base Base, dest string) bool {
	cfg, err := base.Image.ConfigFile()
	if err != nil {
		return true
	}
	top, _, _ := strings.Cut(strings.TrimPrefix(path.Clean(dest), "/"), "/")
	top = "/" + top
	if standard(top) {
		return len(cfg.RootFS.DiffIDs) > 0
	}
	told := 0
	words := slices.Concat([]string{cfg.Config.WorkingDir}, cfg.Config.Entrypoint, cfg.Config.Cmd)
	for v := range cfg.Config.Volumes {
		words = append(words, v)
	}
	for _, h := range cfg.History {
		if !h.EmptyLayer {
			told++
		}
		words = append(words, h.CreatedBy)
	}
	if told < len(cfg.RootFS.DiffIDs) {
		return true
	}
	return slices.ContainsFunc(words, func(w string) bool { return names(w, top) })
}

// standard says whether a directory is one that every distribution has.
func standard(top string) bool {
	return slices.Contains([]string{"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var"}, top)
}

// names says whether text names a directory, as a whole word.
func names(text, dir string) bool {
	for {
		i := strings.Index(text, dir)
		if i < 0 {
			return false
		}
		rest := text[i+len(dir):]
		before := i == 0 || !pathRune(rune(text[i-1]))
		after := rest == "" || rest[0] == '/' || !pathRune(rune(rest[0]))
		if before && after {
			return true
		}
		text = rest
	}
}

func pathRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-/", r) || r > unicode.MaxASCII
}

// place returns where an absolute path of the image lies once the links on
// the way to it are followed, relative to the root.
func place(view *layers.View, p string) (string, error) {
	p = path.Clean("/" + p)
	dir := path.Dir(p)
	if view != nil {
		var err error
		if dir, err = view.Resolve(dir); err != nil {
			return "", fmt.Errorf("follow %s: %w", p, err)
		}
	}
	return strings.TrimPrefix(path.Join("/", dir, path.Base(p)), "/"), nil
}

// owner looks an owner up in the image as it is. Names need the user database,
// which is read from the top layer that has one.
func (b *Builder) owner(ctx context.Context, st *state, spec string) (uid, gid int, err error) {
	if spec == "" {
		return 0, 0, nil
	}
	view, err := b.users(ctx, st, spec)
	if err != nil {
		return 0, 0, err
	}
	return view.Owner(spec)
}

// user looks up whom a step runs as.
func (b *Builder) user(ctx context.Context, st *state, spec string) (layers.UserInfo, error) {
	view, err := b.users(ctx, st, "name")
	if err != nil {
		return layers.UserInfo{}, err
	}
	return view.User(spec)
}

// users is a view that has the user database if spec needs one.
func (b *Builder) users(ctx context.Context, st *state, spec string) (*layers.View, error) {
	var lists []layers.Listing
	if strings.Trim(spec, "0123456789:") == "" {
		return layers.NewView(lists), nil
	}
	if st.wild {
		return b.whole(ctx, st)
	}
	missing := []string{"etc/passwd", "etc/group"}
	for i := len(st.layers) - 1; i >= 0 && len(missing) > 0; i-- {
		list, err := b.userListing(ctx, st.layers[i])
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
		missing = slices.DeleteFunc(missing, func(name string) bool { return list.Files[name] != nil })
	}
	slices.Reverse(lists)
	return layers.NewView(lists), nil
}

// userListing is what a layer says of the user database. It is kept beside the
// whole list, which is long.
func (b *Builder) userListing(ctx context.Context, l laid) (layers.Listing, error) {
	data, ok, err := b.Store.Value(usersKind, l.diffID.String())
	if err != nil {
		return layers.Listing{}, fmt.Errorf("list layer %s: %w", l.diffID, err)
	}
	var list layers.Listing
	if ok && json.Unmarshal(data, &list) == nil {
		return list, nil
	}
	if list, err = b.listing(ctx, l); err != nil {
		return list, err
	}
	list = list.Users()
	if data, err = json.Marshal(list); err == nil {
		err = b.Store.PutValue(usersKind, l.diffID.String(), data)
	}
	if err != nil {
		return list, fmt.Errorf("keep listing: %w", err)
	}
	return list, nil
}
