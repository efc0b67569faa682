package secrets_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/layers/secrets"
)

// The secrets of these tests are made anew for each kind, so that none stands in
// this file.
const (
	alnum  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	alpha  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	hex    = "0123456789abcdef"
)

type maker struct{ r *rand.Rand }

func (m maker) of(n int, from string) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = from[m.r.IntN(len(from))]
	}
	return string(b)
}

func (m maker) base64(n int) string { return base64.StdEncoding.EncodeToString([]byte(m.of(n, alnum))) }

func (m maker) url64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// kinds are secrets of each kind, and what the scan calls them.
func kinds() map[string]string {
	m := maker{rand.New(rand.NewPCG(1, 2))}
	key := func(kind string) string {
		text := m.base64(600)
		var b strings.Builder
		b.WriteString("-----BEGIN " + kind + "-----\n")
		for len(text) > 0 {
			n := min(64, len(text))
			b.WriteString(text[:n] + "\n")
			text = text[n:]
		}
		return b.String() + "-----END " + kind + "-----"
	}
	pem := key("PRIVATE KEY")
	return map[string]string{
		key("RSA PRIVATE KEY"):                  "a private key",
		key("EC PRIVATE KEY"):                   "a private key",
		key("OPENSSH PRIVATE KEY"):              "a private key",
		key("ENCRYPTED PRIVATE KEY"):            "a private key",
		strings.ReplaceAll(pem, "\n", "\n    "): "a private key",
		strings.ReplaceAll(pem, "\n", "\r\n"):   "a private key",
		`"private_key": "` + strings.ReplaceAll(key("PRIVATE KEY"), "\n", `\n`) + `"`: "a private key", // of a service account of GCP
		"client-key-data: " + m.base64(900):                                           "a private key",
		"AGE-SECRET-KEY-1" + m.of(58, base32):                                         "a private key",
		"PuTTY-User-Key-File-3: ssh-ed25519\n":                                        "a private key",
		"AKIA" + m.of(16, base32):                                                     "an AWS access key id",
		"ASIA" + m.of(16, base32):                                                     "an AWS access key id",
		"aws_secret_access_key = " + m.of(40, alnum):                                  "an AWS secret access key",
		"AWS_SECRET_ACCESS_KEY=" + m.of(40, alnum):                                    "an AWS secret access key",
		`"SecretAccessKey": "` + m.of(40, alnum) + `"`:                                "an AWS secret access key",
		"AIza" + m.of(35, alnum):                                                      "a Google API key",
		"GOCSPX-" + m.of(28, alnum):                                                   "a Google client secret",
		`"refresh_token": "1//0` + m.of(60, alnum) + `"`:                              "a Google refresh token",
		"ya29." + m.of(100, alnum):                                                    "a Google access token",
		"AccountKey=" + m.base64(64):                                                  "an Azure storage key",
		m.of(3, alnum) + "8Q~" + m.of(34, alnum):                                      "an Azure client secret",
		"https://x.blob.core.windows.net/c?sv=2024&sig=" + m.of(43, alnum) + "%3D":    "an Azure shared access signature",
		"ghp_" + m.of(36, alnum):                                                      "a GitHub token",
		"ghs_" + m.of(36, alnum):                                                      "a GitHub token",
		"github_pat_" + m.of(22, alnum) + "_" + m.of(59, alnum):                       "a GitHub token",
		"glpat-" + m.of(20, alnum):                                                    "a GitLab token",
		"glcbt-64_" + m.of(20, alnum):                                                 "a GitLab token",
		"xoxb-" + m.of(12, hex) + "-" + m.of(24, alnum):                               "a Slack token",
		"https://hooks.slack.com/services/T" + m.of(8, base32) + "/B" + m.of(8, base32) + "/" + m.of(24, alnum): "a Slack webhook",
		"hf_" + m.of(34, alpha):                               "a Hugging Face token",
		"pypi-AgEIcHlwaS5vcmc" + m.of(120, alnum):             "a PyPI token",
		"npm_" + m.of(36, alnum):                              "an npm token",
		"//registry.npmjs.org/:_authToken=" + m.of(36, alnum): "an npm token",
		"ZENKEY_" + m.base64(90):                              "a ZenML API key",
		"dapi" + m.of(32, hex):                                "a Databricks token",
		"sk-ant-" + m.of(90, alnum):                           "an API key",
		`{"auths": {"r": {"auth": "` + base64.StdEncoding.EncodeToString([]byte("me:"+m.of(20, alnum))) + `"}}}`:        "credentials of a registry",
		`"identitytoken": "` + m.of(40, alnum) + `"`:                                                                    "credentials of a registry",
		m.url64(`{"alg":"RS256","kid":"1"}`) + "." + m.url64(`{"sub":"system:serviceaccount"}`) + "." + m.of(80, alnum): "a signed token (JWT)",
		"Authorization: Bearer " + m.of(40, alnum):                                                                      "an authorization header",
		`headers={"Authorization": "Basic ` + m.base64(24) + `"}`:                                                       "an authorization header",
		"--extra-index-url https://ci:" + m.of(20, alnum) + "@pypi.example.com/simple":                                  "a URL with a password",
		"postgresql+psycopg2://app:" + m.of(12, alnum) + "@db/prod":                                                     "a URL with a password",
		"git+https://" + m.of(40, alnum) + "@git.example.com/x.git":                                                     "a URL with a token",
	}
}

// surroundings are places in which a secret can stand in a file.
func surroundings() map[string]func(secret string) string {
	return map[string]func(string) string{
		"alone":          func(s string) string { return s },
		"a line":         func(s string) string { return "first\n" + s + "\nlast\n" },
		"a program":      func(s string) string { return "import os\n\nx = '" + s + "'\n" },
		"JSON":           func(s string) string { return `{"a": 1, "b": "` + s + `"}` },
		"YAML":           func(s string) string { return "a:\n  b:\n    c: " + s + "\n" },
		"a comment":      func(s string) string { return "# old: " + s },
		"bytes":          func(s string) string { return "\x00\x01\xff\x02" + s + "\x00\x00" },
		"a large file":   func(s string) string { return strings.Repeat("0123456789 abcdef\n", 40000) + s + "\n" },
		"a file of ends": func(s string) string { return strings.Repeat("\n", 128<<10-2048-5) + s },
		"Windows' lines": func(s string) string { return "a\r\n" + s + "\r\n" },
	}
}

func scan(path, content string, size int) []secrets.Finding {
	s := secrets.NewScanner()
	s.File(path)
	for rest := content; rest != ""; {
		n := min(size, len(rest))
		_, _ = s.Write([]byte(rest[:n]))
		rest = rest[n:]
	}
	return s.Found()
}

func TestEveryKindIsFoundInEveryPlace(t *testing.T) {
	for secret, what := range kinds() {
		for place, in := range surroundings() {
			if place == "JSON" && strings.Contains(secret, `"`) {
				continue // it brings its own
			}
			content := in(secret)
			for _, size := range []int{1 << 20, 4093, 64 << 10} {
				found := scan("app/file", content, size)
				if !slices.ContainsFunc(found, func(f secrets.Finding) bool { return f.What == what }) {
					t.Errorf("%s in %s, in pieces of %d: %.60q: found %v", what, place, size, secret, found)
				}
				for _, f := range found {
					if strings.Contains(f.String(), secret[len(secret)/2:]) {
						t.Errorf("what is found is told: %s", f)
					}
				}
			}
		}
	}
}

// A secret is found wherever pieces of a file, and the windows of a scan, are
// cut.
func TestASecretIsFoundHoweverAFileIsCut(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(3, 4))}
	token := "ghp_" + m.of(36, alnum)
	for _, before := range []int{0, 1, 62, 63, 64, 65, 1000, 126<<10 - 45, 126<<10 - 20, 126<<10 - 3, 126 << 10, 126<<10 + 1, 128<<10 - 20, 128 << 10, 252<<10 - 9} {
		content := strings.Repeat(".", before) + "\n" + token + "\n"
		for size := 1; size < 50; size++ {
			if before > 1000 && size%7 != 0 {
				continue
			}
			found := scan("app/file", content, size)
			if len(found) != 1 || found[0].Line != 2 {
				t.Fatalf("after %d bytes, in pieces of %d: %v", before, size, found)
			}
		}
	}
}

func TestFilesOfSomeNamesAreReadWithTheirOwnRules(t *testing.T) {
	const word = "correct-horse" // that nothing but its place makes a secret
	for path, content := range map[string]string{
		"app/.env":                           "DEBUG=1\nDB_PASSWORD=" + word,
		"app/.env.production":                "export API_KEY='" + word + "'",
		"app/deploy/prod.env":                "SECRET_KEY=" + word,
		"root/.netrc":                        "machine m login me\n  password " + word,
		"app/.pypirc":                        "[pypi]\nusername = __token__\npassword = " + word,
		"root/.pgpass":                       "db:5432:*:app:" + word,
		"root/.my.cnf":                       "[client]\npassword=" + word,
		"app/.npmrc":                         "//r/:_password=" + word,
		"root/.kube/config":                  "users:\n- user:\n    token: " + word,
		"app/kubeconfig.yaml":                "    token: \"" + word + "\"",
		"root/.aws/credentials":              "[default]\naws_session_token = " + strings.Repeat(word, 2),
		"app/.git/config":                    "[remote \"origin\"]\n\turl = https://me:pass@example.com/x",
		"app/.git/modules/a/config":          "[http]\n\textraheader = AUTHORIZATION: basic x",
		"root/.vault-token":                  strings.Repeat(word, 2),
		"root/.config/gcloud/credentials.db": "SQLite format 3\x00",
		"usr/src/app/.netrc":                 "machine m password " + word, // many images have the program there
		"app/store.p12":                      "\x30\x82",
	} {
		if found := scan(path, content, 100); len(found) != 1 {
			t.Errorf("%s: found %v", path, found)
		}
	}
}

func TestWhatIsNoSecretIsNotFound(t *testing.T) {
	for name, content := range map[string]string{
		"placeholders":        "postgresql://user:password@localhost/db https://me:${TOKEN}@host/ http://user:<token>@h/ https://u:xxxx@h/ https://{user}:{pass}@host https://u:%s@h",
		"AWS's own example":   "AKIA" + "IOSFODNN7EXAMPLE aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		"a user who is known": "postgres://postgres:postgres@localhost/db",
		"the name of a key":   `if text.startswith("-----BEGIN RSA PRIVATE KEY-----"):` + "\n    raise ValueError('this is a private key and no certificate at all')",
		"a public key":        "-----BEGIN PUBLIC KEY-----\n" + strings.Repeat("A1b2C3d4", 8) + "\n-----END PUBLIC KEY-----",
		"no password":         "https://example.com/a:b@c ssh://git@host/x http://host:8080/@x mailto://a",
		"a word":              "my_hf_" + strings.Repeat("abCD", 8) + "ef dapi" + "test npm_config_registry=https://r ghp_short",
		"an emulator":         "AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;",
		"a hash":              "sha256:" + strings.Repeat("0123456789abcdef", 4) + " " + strings.Repeat("A", 40),
	} {
		if found := scan("app/file.py", content, 1000); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
	for path, content := range map[string]string{
		"app/.env":         "DEBUG=true\nTOKEN_FILE=/run/secrets/token\nPASSWORD=\nAPI_TOKEN=${API_TOKEN}\nSECRET=changeme",
		"app/.env.example": "DB_PASSWORD=correct-horse",
		"app/environment":  "DB_PASSWORD=correct-horse",
	} {
		if found := scan(path, content, 1000); len(found) > 0 {
			t.Errorf("%s: %v", path, found)
		}
	}
}

// Distributions ship keys and passwords in their tests and texts that open
// nothing; a token of a service is one wherever it stands.
func TestInstalledFilesAreReadWithTheSurestRules(t *testing.T) {
	const site = "usr/local/lib/python3.11/site-packages/"
	all := kinds()
	token := slices.Sorted(maps.Keys(all))[slices.IndexFunc(slices.Sorted(maps.Keys(all)), func(s string) bool { return strings.HasPrefix(s, "ghp_") })]
	for _, path := range []string{site + "botocore/data.json", "opt/venv/lib/python3.12/site-packages/a/b.py", "usr/lib/python3/dist-packages/x.py", "usr/share/doc/x",
		"var/lib/apt/lists/deb.debian.org_debian_dists_bookworm_main_i18n_Translation-en", "var/lib/dpkg/status", "usr/include/x.h",
	} {
		if found := scan(path, token, 100); len(found) != 1 {
			t.Errorf("a token in %s: %v", path, found)
		}
		for secret, what := range all {
			if found := scan(path, secret, 1000); len(found) > 0 && (what == "a private key" && !strings.HasPrefix(secret, "AGE") || strings.HasPrefix(what, "a URL")) {
				t.Errorf("%s: %v", path, found)
			}
		}
	}
	direct := `{"url": "https://ci:correct-horse@git.example.com/x.git", "vcs_info": {"vcs": "git"}}`
	if found := scan(site+"x-1.dist-info/direct_url.json", direct, 100); len(found) != 1 {
		t.Errorf("where a distribution came from: %v", found)
	}
	if found := scan(site+"x-1.dist-info/METADATA", direct, 100); len(found) > 0 {
		t.Errorf("what a distribution says of itself: %v", found)
	}
}

func TestFindingsOfAFileAreBounded(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(5, 6))}
	s := secrets.NewScanner()
	for i := range 1000 {
		s.File(fmt.Sprintf("app/%d", i))
		for range 20 {
			fmt.Fprintln(s, "glpat-"+m.of(20, alnum))
		}
	}
	found := s.Found()
	if len(found) != 200 || found[4].Path != "app/0" || found[5].Path != "app/1" {
		t.Errorf("%d findings", len(found))
	}
	if text := (&secrets.Error{Found: found}).Error(); !strings.HasSuffix(text, "; and 180 more") {
		t.Errorf("the error is %q", text)
	}
}

func TestWhatIsAllowed(t *testing.T) {
	f := secrets.Finding{Path: "app/tests/key.pem"}
	for path, want := range map[string]bool{
		"app/tests/key.pem": true, "/app/tests/key.pem": true, "app/tests": true, "/app/": true,
		"tests/key.pem": false, "app/test": false, "": false, "/": false, "app/tests/key.pem/x": false,
	} {
		if got := secrets.Allowed(f, []string{"other", path}); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}

func TestVariablesThatLookSecret(t *testing.T) {
	for name, value := range map[string]string{
		"HF_TOKEN": "abcdefgh", "db_password": "hunter22", "AWS_SECRET_ACCESS_KEY": "x1x2x3x4", "WANDB_API_KEY": "abcd1234",
		"DATABASE_URL": "postgresql://app:hunter22@db/prod", "X": "ghp_" + "0123456789abcdefghijklmnopqrstuvwxyz",
	} {
		if !secrets.Variable(name, value) {
			t.Errorf("%s looks harmless", name)
		}
	}
	for name, value := range map[string]string{
		"TOKEN_FILE": "/run/token", "TOKENIZERS_PARALLELISM": "false", "MAX_TOKEN": "4096", "PASSWORD": "", "KEYS": "abcdefgh",
		"API_KEY": "${API_KEY}", "PIP_INDEX_URL": "https://pypi.org/simple", "USE_TOKEN": "true",
	} {
		if secrets.Variable(name, value) {
			t.Errorf("%s=%s looks secret", name, value)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	m := maker{rand.New(rand.NewPCG(7, 8))}
	words := make([]string, 5000)
	for i := range words {
		words[i] = m.of(3+i%9, "etaoinshrdlucmf_")
	}
	var text strings.Builder
	for i := 0; text.Len() < 4<<20; i++ {
		text.WriteString(words[m.r.IntN(len(words))])
		text.WriteByte(" \n=.("[i%5])
	}
	noise := make([]byte, 4<<20)
	for i := range noise {
		noise[i] = byte(m.r.IntN(256))
	}
	for name, data := range map[string][]byte{"text": []byte(text.String()), "bytes": noise} {
		b.Run(name, func(b *testing.B) {
			s := secrets.NewScanner()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				s.File("app/file")
				for rest := data; len(rest) > 0; {
					n := min(len(rest), 64<<10)
					_, _ = s.Write(rest[:n])
					rest = rest[n:]
				}
			}
		})
	}
}
