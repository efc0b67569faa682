package secrets

import (
	"slices"
	"strings"
	"testing"
)

// TestNamesHaveWhatIsLookedForFirst asks the expressions of paths that they fit,
// and of many that are nearly such.
func TestNamesHaveWhatIsLookedForFirst(t *testing.T) {
	fit := []string{
		".env", ".env.prod", "app.env", ".envrc", ".git/config", ".git/modules/a/b/config", "id_rsa", "ID_ED25519", "id_dsa", "id_ecdsa", "tls.PEM",
		"a.key", "b.p8", "c.ppk", "deploy_rsa", "myPrivateKey", "private.key", "private-the-key", ".netrc", "_netrc", ".pypirc", ".pgpass", ".my.cnf", ".npmrc",
		".kube/config", "kubeconfig", "kubeconfig.yaml", "a.kubeconfig", ".aws/credentials", ".vault-token", ".databrickscfg", ".huggingface/token",
		".cache/huggingface/token", ".config/gcloud/credentials.db", ".config/gcloud/access_tokens.db", ".azure/msal_token_cache.json",
		".azure/accessTokens.bin", "a.p12", "a.pfx", "a.jks", "a.keystore", "a.kdbx",
	}
	used := map[*named]bool{}
	for _, n := range ready().named {
		for _, name := range fit {
			for _, p := range []string{name, "d/" + name, strings.ToUpper(name), name + "x", "x" + name, name + "/x"} {
				if !n.compiledPath.MatchString(p) {
					continue
				}
				used[n] = true
				lower := strings.ToLower(p)
				if !slices.ContainsFunc(n.has, func(s string) bool { return strings.Contains(lower, s) }) {
					t.Errorf("%s fits %q and has none of %q", p, n.path, n.has)
				}
			}
		}
	}
	for _, n := range ready().named {
		if !used[n] {
			t.Errorf("no path was tried for %q", n.path)
		}
	}
}
