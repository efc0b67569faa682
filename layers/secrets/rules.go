package secrets

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// A rule finds one kind of secret in any file.
type rule struct {
	what string
	// anchors are texts of at least [anchorLen] bytes of which one is in every
	// match: they are looked for first, so that everything else is read once and
	// fast.
	anchors []string
	// back is how many bytes before the anchor match begins.
	back int
	// match is what has to stand there; its group number of, the first if that
	// is 0, is the secret itself.
	match string
	of    int
	// word says that no letter, digit or underscore may stand before it.
	word bool
	// distinct is how many different bytes the secret has at least.
	distinct int
	// installed says that the rule is sure enough of itself for what
	// distributions ship, too: many have keys, passwords and tokens in their
	// tests and texts that open nothing.
	installed bool
	// check says whether the secret is one, beyond what match can say; before is
	// the first group.
	check func(secret, before string) bool

	compiled *regexp.Regexp
}

// letters follow a prefix that is too short to be looked for by itself.
const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func each(prefix, next string) []string {
	var out []string
	for _, c := range next {
		out = append(out, prefix+string(c))
	}
	return out
}

// rules are all rules for any file. The expressions are those that the services
// document, or that their tokens have in common.
func rules() []*rule { return append(cloudRules(), serviceRules()...) }

func cloudRules() []*rule {
	return []*rule{
		{
			what: "a private key", anchors: []string{"-----BEGIN "},
			match: `-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:\\r|\\n|\s|[A-Za-z-]+: [^\n]*\n){0,12}((?:[A-Za-z0-9+/=]|\\[rn]|\r|\n[ \t]*){60})`, distinct: 12,
		},
		{what: "a private key", anchors: []string{"PuTTY-User-Key-File"}, match: `PuTTY-User-Key-File-\d: `},
		{what: "a private key", anchors: []string{"AGE-SECRET-KEY-1"}, match: `(AGE-SECRET-KEY-1[0-9A-Z]{58})`, word: true, installed: true, distinct: 12},
		{what: "a private key", anchors: []string{"client-key-data"}, match: `client-key-data["']?: *["']?([A-Za-z0-9+/=]{64})`, distinct: 12},

		{what: "an AWS access key id", anchors: []string{"AKIA", "ASIA"}, match: `((?:AKIA|ASIA)[A-Z2-7]{16})(?:[^A-Za-z0-9+/=]|$)`, word: true, distinct: 8},
		{
			what: "an AWS secret access key", anchors: []string{"ecret_access_key", "ECRET_ACCESS_KEY", "ecretAccessKey", "ecret_key", "ecretKey"},
			match: `(?:ecret_access_key|ECRET_ACCESS_KEY|ecretAccessKey|ecret_key|ecretKey)["']?\s{0,8}[:=]\s{0,8}["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)`, distinct: 14,
		},

		{what: "a Google API key", anchors: []string{"AIza"}, match: `(AIza[A-Za-z0-9_-]{35})(?:[^A-Za-z0-9_-]|$)`, word: true, distinct: 12},
		{what: "a Google client secret", anchors: []string{"GOCSPX-"}, match: `(GOCSPX-[A-Za-z0-9_-]{20,})`, word: true, distinct: 10},
		{what: "a Google refresh token", anchors: []string{`"1//0`}, match: `"(1//0[A-Za-z0-9_-]{40,})`, distinct: 14},
		{what: "a Google access token", anchors: []string{"ya29."}, match: `(ya29\.[A-Za-z0-9_-]{30,})`, word: true, distinct: 14},

		{
			what: "an Azure storage key", anchors: []string{"AccountKey=", "SharedAccessKey="}, match: `(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{42,86}==?)`,
			distinct: 14, check: func(s, _ string) bool {
				return !strings.HasPrefix(s, "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq")
			}, // everybody's emulator
		},
		{what: "an Azure client secret", anchors: append(each("8Q~", letters+"0123456789_~.-"), each("7Q~", letters+"0123456789_~.-")...), back: 3, match: `([A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34})(?:[^A-Za-z0-9_~.-]|$)`, distinct: 14},
		{what: "an Azure shared access signature", anchors: []string{"&sig=", "?sig="}, match: `[?&]sig=([A-Za-z0-9+/]{43}(?:=|%3[dD])|[A-Za-z0-9%+/]{43,90}%3[dD])`, distinct: 14},
	}
}

func serviceRules() []*rule {
	return []*rule{
		{what: "a GitHub token", anchors: []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"}, match: `(gh[pousr]_[A-Za-z0-9]{36,251})`, word: true, distinct: 14, installed: true},
		{what: "a GitHub token", anchors: []string{"github_pat_"}, match: `(github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})`, word: true, distinct: 14, installed: true},
		{
			what: "a GitLab token", anchors: []string{"glpat-", "gldt-", "glcbt-", "glrt-", "glptt-", "glft-", "glsoat-", "glagent-"},
			match: `(gl(?:pat|dt|cbt|rt|ptt|ft|soat|agent)-[A-Za-z0-9_.-]{20,})`, word: true, distinct: 10, installed: true,
		},
		{what: "a Slack token", anchors: []string{"xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xapp-"}, match: `((?:xox[bpars]|xapp)-(?:\d-)?[A-Za-z0-9]{6,}-[A-Za-z0-9-]{16,})`, word: true, distinct: 10, installed: true},
		{what: "a Slack webhook", anchors: []string{"hooks.slack.com/services/"}, match: `hooks\.slack\.com/services/(T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{20,})`, distinct: 12},
		{what: "a Hugging Face token", anchors: append(each("hf_", letters), "api_org_"), match: `(hf_[A-Za-z]{34}|api_org_[A-Za-z]{34})(?:[^A-Za-z0-9_]|$)`, word: true, distinct: 14, installed: true},
		{what: "a PyPI token", anchors: []string{"pypi-AgE"}, match: `(pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{50,})`, word: true, distinct: 20, installed: true},
		{what: "an npm token", anchors: []string{"npm_"}, match: `(npm_[A-Za-z0-9]{36})(?:[^A-Za-z0-9_]|$)`, word: true, distinct: 14, installed: true},
		{what: "an npm token", anchors: []string{"_authToken"}, match: `_authToken\s{0,4}=\s{0,4}"?([A-Za-z0-9_.-]{16,})`, distinct: 8},
		{what: "a ZenML API key", anchors: []string{"ZENKEY_", "ZENPROKEY_"}, match: `(ZEN(?:PRO)?KEY_[A-Za-z0-9+/=_-]{32,})`, word: true, distinct: 12, installed: true},
		{what: "a Databricks token", anchors: []string{"dapi"}, match: `(dapi[0-9a-f]{32}(?:-\d)?)(?:[^A-Za-z0-9_-]|$)`, word: true, distinct: 8},
		{what: "an API key", anchors: []string{"sk-ant-", "sk-proj-", "sk_live_", "rk_live_", "dop_v1_", "hvs.", "sntrys_", "lsv2_pt_", "lsv2_sk_"}, match: `((?:sk-ant-|sk-proj-|sk_live_|rk_live_|dop_v1_|hvs\.|sntrys_|lsv2_(?:pt|sk)_)[A-Za-z0-9_+/=-]{24,})`, word: true, distinct: 14},

		{what: "credentials of a registry", anchors: []string{`"auth"`}, match: `"auth"\s{0,8}:\s{0,8}"([A-Za-z0-9+/]{8,}={0,2})"`, check: isPair},
		{what: "credentials of a registry", anchors: []string{`"identitytoken"`, `"registrytoken"`}, match: `"(?:identity|registry)token"\s{0,8}:\s{0,8}"([^"\s]{16,})"`, distinct: 8},
		{what: "a signed token (JWT)", anchors: []string{"eyJh", "eyJ0", "eyJr", "eyJj", "eyJi", "eyJl", "eyJ6"}, match: `(eyJ[A-Za-z0-9_-]{12,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})`, word: true, distinct: 20},
		{
			what: "an authorization header", anchors: []string{"uthorization", "UTHORIZATION"},
			match: `(?:uthorization|UTHORIZATION)["']?\s{0,4}[:=]\s{0,4}["']?(?i:basic|bearer|token)\s{1,4}([A-Za-z0-9+/=._~-]{20,})`, distinct: 10,
		},
		{
			what:    "a URL with a password",
			anchors: each("://", letters+"0123456789_%-:"),
			match:   `://([^\s/@:"'<>` + "`" + `\\]{0,128}):([^\s/@"'<>` + "`" + `\\]{3,512})@[A-Za-z0-9\[_-]`, of: 2, check: isPassword,
		},
		{
			what:    "a URL with a token",
			anchors: each("://", letters+"0123456789_%-"),
			match:   `://([A-Za-z0-9_.~%-]{20,255})@[A-Za-z0-9\[]`, distinct: 10,
		},
	}
}

// isPair says whether a text is "NAME:PASSWORD" in base64.
func isPair(s, _ string) bool {
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		data, err = base64.RawStdEncoding.DecodeString(s)
	}
	name, password, ok := strings.Cut(string(data), ":")
	return err == nil && ok && name != "" && len(password) >= 3 && !placeholder([]byte(password))
}

// isPassword says whether a URL's password is one: not the user's name again, as
// in examples, and not part of an expression.
func isPassword(s, user string) bool {
	return s != user && !strings.ContainsAny(s, "[]()|,;")
}

// A named rule is about files of some names only.
type named struct {
	what string
	// path matches the end of the path.
	path string
	// line matches a line with a secret, whose first group it is; empty says that
	// the whole file is one.
	line string
	// plain says that what looks like a placeholder is a secret all the same.
	plain bool

	has                        []string // every path has one of these, in lower case
	compiledPath, compiledLine *regexp.Regexp
}

// namedRules are all of them; the first one that fits is applied, beside the
// rules for any file.
func namedRules() []*named {
	const value = `["']?([^\s"'#]{4,})`
	return []*named{
		{
			what: "a secret setting", has: []string{".env"}, path: `\.env(\.[A-Za-z0-9_-]+)*|[A-Za-z0-9_-]+\.env|\.envrc`,
			line: `(?i)^\s*(?:export\s+)?[A-Z0-9_]*(?:TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS?)[A-Z0-9_]*\s*=\s*["']?([^\s"'#/][^\s"'#]{3,})`,
		},
		{what: "credentials", has: []string{".git/"}, path: `\.git/(modules/.+/)?config`, line: `(?i)[a-z][a-z0-9+.-]*://([^/\s@:]*:[^/\s@]+|[^/\s@:]{20,})@|extraheader\s*=\s*"?authorization`, plain: true},
		{what: "a private key", has: []string{"id_", ".pem", ".key", ".p8", ".ppk", "_rsa", "private"}, path: `(?i:id_(rsa|dsa|ecdsa|ed25519)|[^/]+\.(pem|key|p8|ppk)|[^/]*(_rsa|private[^/]*key))`, line: `-----BEGIN [A-Z0-9 ]*PRIVATE KEY|^PuTTY-User-Key-File`, plain: true},
		{what: "a password", has: []string{"netrc"}, path: `[._]netrc`, line: `(?i)(?:^|\s)password\s+(\S+)`, plain: true},
		{what: "a password", has: []string{".pypirc"}, path: `\.pypirc`, line: `(?i)^\s*password\s*[:=]\s*(\S{4,})`},
		{what: "a password", has: []string{".pgpass"}, path: `\.pgpass`, line: `^[^#:]*:[^:]*:[^:]*:[^:]*:(.+)$`, plain: true},
		{what: "a password", has: []string{".my.cnf"}, path: `\.my\.cnf`, line: `(?i)^\s*password\s*=\s*` + value},
		{what: "a password", has: []string{".npmrc"}, path: `\.npmrc`, line: `(?i)_(?:password|auth)\s*=\s*` + value},
		{what: "a token", has: []string{".kube/", "kubeconfig"}, path: `(\.kube/config|kubeconfig[A-Za-z0-9_.-]*|[A-Za-z0-9_-]+\.kubeconfig)`, line: `^\s*-?\s*(?:token|password):\s*` + value},
		{what: "credentials", has: []string{".aws/"}, path: `\.aws/credentials`, line: `(?i)^\s*aws_(?:secret_access_key|session_token)\s*=\s*(\S{16,})`},
		{what: "a token", has: []string{".vault-token", ".databrickscfg", "huggingface/"}, path: `\.vault-token|\.databrickscfg|\.huggingface/token|\.cache/huggingface/token`, line: `^\s*(?:token\s*=\s*)?([A-Za-z0-9_.-]{16,})\s*$`},
		{what: "credentials of a cloud's client", has: []string{".config/gcloud/", ".azure/"}, path: `\.config/gcloud/(credentials|access_tokens)\.db|\.azure/(msal_token_cache|accessTokens)\.(json|bin)`},
		{what: "a store of keys", has: []string{".p12", ".pfx", ".jks", ".keystore", ".kdbx"}, path: `[^/]+\.(p12|pfx|jks|keystore|kdbx)`},
	}
}
