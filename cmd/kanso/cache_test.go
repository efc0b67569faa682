package main

import "testing"

func TestSizesAreRead(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "500": 500, "10GB": 10_000_000_000, "10 gb": 10_000_000_000, "1.5TB": 1_500_000_000_000, "512MiB": 512 << 20, "1k": 1000, "3B": 3,
		"": -1, "GB": -1, "10XB": -1, "-1": -1, "1e30": -1, "NaN": -1, "10GMB": -1, "10iB": -1,
	} {
		got, err := parseSize(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}
