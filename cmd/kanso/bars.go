package main

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bars shows bytes as bars on a terminal, with everything else above them.
type bars struct {
	p       *mpb.Progress
	above   *redactWriter
	redact  *redactor
	refresh chan any      // draws
	down    chan any      // closed when nothing is drawn any more
	stop    chan struct{} // ends the drawing now and then
	once    sync.Once
}

// refreshEvery is how often bars are drawn.
const refreshEvery = 120 * time.Millisecond

func newBars(f *os.File, r *redactor) *bars {
	b := &bars{redact: r, refresh: make(chan any), down: make(chan any), stop: make(chan struct{})}
	// Drawn by us, so that a last time is drawn what stands above the bars.
	b.p = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40), mpb.WithManualRefresh(b.refresh), mpb.WithShutdownNotifier(b.down))
	b.above = r.writer(&lines{each: func(l string) {
		if _, err := b.p.Write([]byte(l + "\n")); err != nil { // the bars are gone
			_, _ = f.WriteString(l + "\n")
		}
	}})
	go func() {
		tick := time.NewTicker(refreshEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				b.draw()
			case <-b.stop:
				return
			}
		}
	}()
	return b
}

func (b *bars) draw() {
	select {
	case b.refresh <- nil:
	case <-b.down:
	}
}

func (b *bars) Step(name string) { _, _ = io.WriteString(b.above, "=> "+name+"\n") }

func (b *bars) Note(msg string) { _, _ = io.WriteString(b.above, "   "+msg+"\n") }

func (b *bars) Bytes(task string, total int64) (add func(int64), done func(error)) {
	name := strings.Map(printable, b.redact.text(task))
	if len(name) > 30 {
		name = strings.ToValidUTF8(name[:29], "") + "…"
	}
	bar := b.p.AddBar(max(total, 0),
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.CountersKiloByte("% .1f / % .1f"), decor.AverageSpeed(decor.SizeB1000(0), "  % .1f")))
	return bar.IncrInt64, func(err error) {
		if err != nil {
			bar.Abort(true)
			return
		}
		bar.SetTotal(-1, true)
	}
}

func (b *bars) output() io.Writer { return b.above }

func (b *bars) close() {
	b.once.Do(func() {
		_ = b.above.flush()
		close(b.stop)
		b.draw()
		b.p.Shutdown()
	})
}

// printable drops what would move the cursor.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}
