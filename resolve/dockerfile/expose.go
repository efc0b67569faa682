package dockerfile

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"

	"github.com/kanso-build/kanso/resolve/plan"
)

// setPorts exposes ports; variables may hold several.
func (d *stepper) setPorts(c *instructions.ExposeCommand) error {
	var set plan.Set
	for _, p := range c.Ports {
		words, err := d.lex.ProcessWords(p, d.s.env)
		if err != nil {
			return err
		}
		for _, w := range words {
			ports, err := d.ports(c, w)
			if err != nil {
				return err
			}
			set.ExposedPorts = append(set.ExposedPorts, ports...)
		}
	}
	d.emit(set)
	return nil
}

// ports reads "[[IP:]HOST:]PORT[-PORT][/PROTOCOL]". Address and host port mean
// nothing for an image, but must be right.
func (d *stepper) ports(c *instructions.ExposeCommand, spec string) ([]string, error) {
	ip, host, port := splitPorts(spec)
	port, proto, _ := strings.Cut(port, "/")
	if port == "" {
		return nil, fmt.Errorf("invalid port: %q: no port specified", spec)
	}
	if proto == "" {
		proto = "tcp"
	}
	lower := strings.ToLower(proto)
	if lower != "tcp" && lower != "udp" && lower != "sctp" {
		return nil, fmt.Errorf("invalid port: %q: invalid proto: %s", spec, proto)
	}
	if proto != lower {
		d.lint.Run(&linter.RuleExposeProtoCasing, c.Location(), linter.RuleExposeProtoCasing.Format(spec))
	}
	if ip != "" || host != "" {
		d.lint.Run(&linter.RuleExposeInvalidFormat, c.Location(), linter.RuleExposeInvalidFormat.Format(spec))
	}
	if err := checkIP(ip); err != nil {
		return nil, err
	}
	from, to, err := portRange(port)
	if err != nil {
		return nil, fmt.Errorf("invalid containerPort: %s", port)
	}
	if host != "" {
		hostFrom, hostTo, err := portRange(host)
		if err != nil {
			return nil, fmt.Errorf("invalid hostPort: %s", host)
		}
		if to-from != hostTo-hostFrom && to != from {
			return nil, fmt.Errorf("invalid ranges specified for container and host Ports: %s and %s", port, host)
		}
	}
	out := make([]string, 0, to-from+1)
	for n := from; n <= to; n++ {
		out = append(out, strconv.Itoa(n)+"/"+lower)
	}
	return out, nil
}

// splitPorts splits at the last two colons.
func splitPorts(spec string) (ip, host, port string) {
	parts := strings.Split(spec, ":")
	n := len(parts)
	switch n {
	case 1:
		return "", "", spec
	case 2:
		return "", parts[0], parts[1]
	}
	return strings.Join(parts[:n-2], ":"), parts[n-2], parts[n-1]
}

func checkIP(ip string) error {
	if ip == "" {
		return nil
	}
	bare := ip
	if ip[0] == '[' {
		var err error
		if bare, _, err = net.SplitHostPort(ip + ":"); err != nil {
			return fmt.Errorf("invalid IP address %v: %w", ip, err)
		}
	}
	if bare != "" && net.ParseIP(bare) == nil {
		return errors.New("invalid IP address: " + bare)
	}
	return nil
}

// portRange reads "8000" and "8000-8009".
func portRange(s string) (from, to int, err error) {
	a, b, isRange := strings.Cut(s, "-")
	if from, err = portNumber(a); err != nil || !isRange {
		return from, from, err
	}
	if to, err = portNumber(b); err != nil {
		return 0, 0, err
	}
	if to < from {
		return 0, 0, errors.New("the range ends before it begins")
	}
	return from, to, nil
}

func portNumber(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 0)
	if err != nil {
		return 0, err
	}
	if n < 0 || n > 65535 {
		return 0, errors.New("value out of range (0-65535)")
	}
	return int(n), nil
}
