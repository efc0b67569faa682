package layers

import "encoding/binary"

// Noise is what looks like bytes of a die: pictures, archives, the better half of a
// model's weights. Nothing is saved where it is compressed, and a block of deflate
// that has some of it beside text is slow to make and large, since every byte of it
// gets a code. A block of it alone stands as it is. So blocks are cut where noise
// begins and ends. What is on both sides of a cut is compressed all the same, and
// with what was before it, so that a wrong guess costs some bytes and no more.

const (
	grain = 512 // bytes that are looked at together
	// fewPairs is how many pairs of equal bytes there are at most among those that
	// are counted of a grain of noise, where 8 are usual, and manyPairs how many
	// there are at least if it is none. Between them a grain counts as what is
	// before it.
	fewPairs, manyPairs = 18, 40
	// turn is how many grains in a row make a beginning.
	turn = 4
)

// cuts appends to at where data is to be cut: where noise begins and where it ends. It
// says how many bytes are noise. Both depend on data alone.
func cuts(at []int, data []byte) (cut []int, noisy int) {
	var was kind
	begun, grains, last := 0, 0, 0 // begun is of the grains that are not as before
	end := func(n int) {
		if was == noise {
			noisy += n - last
		}
		last = n
	}
	for n := 0; n+grain <= len(data); n += grain {
		switch is := kindOf((*[grain]byte)(data[n:])); {
		case is == unknown:
		case was == unknown || is == was:
			was, grains = is, 0
		default:
			if grains == 0 {
				begun = n
			}
			if grains++; grains == turn {
				end(begun)
				at, was, grains = append(at, begun), is, 0
			}
		}
	}
	end(len(data))
	return at, noisy
}

// kind says whether a grain is noise.
type kind int

const (
	unknown kind = iota
	noise
	text
)

// kindOf counts eight bytes of each part of a grain, and not at the same place in any
// two, lest records of some size have the same field looked at each time.
func kindOf(data *[grain]byte) kind {
	var counts [256]uint8
	pairs := 0
	for _, at := range [...]int{5, 64 + 47, 128 + 22, 192 + 56, 256 + 11, 320 + 34, 384, 448 + 29} {
		w := binary.LittleEndian.Uint64(data[at : at+8])
		for range 8 {
			c := &counts[byte(w)]
			pairs += int(*c)
			*c++
			w >>= 8
		}
	}
	switch {
	case pairs <= fewPairs:
		return noise
	case pairs >= manyPairs:
		return text
	}
	return unknown
}
