package zenml

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// pyTime is how dates and times are written in YAML 1.1.
var pyTime = regexp.MustCompile(`^(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.(\d*))?(?:[ \t]*(Z|([-+])(\d\d?)(?::?(\d\d))?))?)?$`)

// onlyDate is how dates are written; other dates need a time.
var onlyDate = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)

// A pyDate is a date or a time as Python has it.
type pyDate struct {
	time.Time
	hasTime, hasZone bool
}

// readDate reads a date or a time; a day that does not exist is none.
func readDate(s string) (pyDate, bool) {
	m := pyTime.FindStringSubmatch(s)
	if m == nil || m[4] == "" && !onlyDate.MatchString(s) {
		return pyDate{}, false
	}
	n := func(i int) int {
		v, _ := strconv.Atoi(m[i]) // digits, or nothing
		return v
	}
	zone := time.UTC
	if m[9] != "" {
		offset := n(10)*3600 + n(11)*60
		if m[9] == "-" {
			offset = -offset
		}
		zone = time.FixedZone("", offset)
	}
	micro, _ := strconv.Atoi((m[7] + "000000")[:6])
	d := pyDate{time.Date(n(1), time.Month(n(2)), n(3), n(4), n(5), n(6), micro*1000, zone), m[4] != "", m[8] != ""}
	return d, d.Year() == n(1) && int(d.Month()) == n(2) && d.Day() == n(3) && d.Hour() == n(4) && d.Second() == n(6)
}

// String is what Python's str() makes of it.
func (d pyDate) String() string { return d.text(" ", "+00:00") }

// json is what pydantic writes of it.
func (d pyDate) json() string { return d.text("T", "Z") }

// text has what stands between date and time, and what says that it is UTC.
func (d pyDate) text(between, utc string) string {
	s := d.Format("2006-01-02")
	if !d.hasTime {
		return s
	}
	s += between + d.Format("15:04:05")
	if d.Nanosecond() > 0 {
		s += d.Format(".000000")
	}
	switch _, offset := d.Zone(); {
	case !d.hasZone:
	case offset == 0:
		s += utc
	default:
		s += d.Format("-07:00")
	}
	return s
}

// repr is what Python's repr() makes of it.
func (d pyDate) repr() string {
	if !d.hasTime {
		return fmt.Sprintf("datetime.date(%d, %d, %d)", d.Year(), d.Month(), d.Day())
	}
	words := []string{strconv.Itoa(d.Year()), strconv.Itoa(int(d.Month())), strconv.Itoa(d.Day()), strconv.Itoa(d.Hour()), strconv.Itoa(d.Minute())}
	micro := d.Nanosecond() / 1000
	if d.Second() > 0 || micro > 0 {
		words = append(words, strconv.Itoa(d.Second()))
	}
	if micro > 0 {
		words = append(words, strconv.Itoa(micro))
	}
	if d.hasZone {
		words = append(words, "tzinfo="+d.zoneRepr())
	}
	return "datetime.datetime(" + strings.Join(words, ", ") + ")"
}

func (d pyDate) zoneRepr() string {
	_, offset := d.Zone()
	switch {
	case offset == 0:
		return "datetime.timezone.utc"
	case offset < 0:
		return fmt.Sprintf("datetime.timezone(datetime.timedelta(days=-1, seconds=%d))", 86400+offset)
	}
	return fmt.Sprintf("datetime.timezone(datetime.timedelta(seconds=%d))", offset)
}
