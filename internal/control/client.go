package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"sutler/internal/receipt"
)

var (
	// ErrNotRunning means that no daemon answers on the socket.
	ErrNotRunning = errors.New("sutler is not running")
	// ErrNotFound means that the daemon does not know what was asked for.
	ErrNotFound = errors.New("not found")
)

// A Client talks to the daemon. Its methods return ErrNotRunning if there is none, and
// are safe for concurrent use.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client of the daemon that listens on a unix socket.
func NewClient(socket string) *Client {
	c := &Client{socket: socket}
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	return c
}

// Status asks how the daemon is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, "GET", "/status", nil, &s)
}

// Stop asks the daemon to end; it returns before it has.
func (c *Client) Stop(ctx context.Context) error { return c.call(ctx, "POST", "/stop", nil, nil) }

// Reload has the daemon read its configuration again.
func (c *Client) Reload(ctx context.Context) (r Reloaded, err error) {
	return r, c.call(ctx, "POST", "/reload", nil, &r)
}

// RotateCA begins a rotation of the local authority.
func (c *Client) RotateCA(ctx context.Context, r RotateRequest) (ca CA, err error) {
	return ca, c.call(ctx, "POST", "/ca/rotate", r, &ca)
}

// Begin announces a build.
func (c *Client) Begin(ctx context.Context, r BuildRequest) (b Build, err error) {
	return b, c.call(ctx, "POST", "/builds", r, &b)
}

// End ends a build and returns its summary.
func (c *Client) End(ctx context.Context, id string, exitCode int) (s receipt.Summary, err error) {
	return s, c.call(ctx, "POST", "/builds/"+url.PathEscape(id)+"/end", ended{exitCode}, &s)
}

// Builds lists the newest builds, newest first; 0 is all.
func (c *Client) Builds(ctx context.Context, limit int) (all []receipt.Summary, err error) {
	return all, c.call(ctx, "GET", "/builds?limit="+strconv.Itoa(limit), nil, &all)
}

// Receipt returns one build with its lines; id may be a prefix or "last".
func (c *Client) Receipt(ctx context.Context, id string) (r Receipt, err error) {
	return r, c.call(ctx, "GET", "/builds/"+url.PathEscape(id), nil, &r)
}

// Items lists what is stored whose URL or package contains match; 0 is all.
func (c *Client) Items(ctx context.Context, match string, limit int) (all []Item, err error) {
	return all, c.call(ctx, "GET", "/items?"+url.Values{"match": {match}, "limit": {strconv.Itoa(limit)}}.Encode(), nil, &all)
}

// Item returns one stored thing by its key or URL.
func (c *Client) Item(ctx context.Context, name string) (i Item, err error) {
	return i, c.call(ctx, "GET", "/item?"+url.Values{"name": {name}}.Encode(), nil, &i)
}

// Usage adds up what is stored, by ecosystem and kind.
func (c *Client) Usage(ctx context.Context) (all []Usage, err error) {
	return all, c.call(ctx, "GET", "/usage", nil, &all)
}

// Prune evicts blobs; report is called as it goes on.
func (c *Client) Prune(ctx context.Context, r PruneRequest, report func(Progress)) (Removed, error) {
	return follow[Removed](ctx, c, "/prune", r, report)
}

// Purge forgets entries; report is called as it goes on.
func (c *Client) Purge(ctx context.Context, r PurgeRequest, report func(Progress)) (Removed, error) {
	return follow[Removed](ctx, c, "/purge", r, report)
}

// Verify hashes every blob; report is called as it goes on. It returns the last Progress.
func (c *Client) Verify(ctx context.Context, report func(Progress)) (Progress, error) {
	last, err := follow[Progress](ctx, c, "/verify", struct{}{}, report)
	last.Done = true
	if err == nil {
		report(last)
	}
	return last, err
}

// follow starts a long operation and reads its updates up to the last, which has a result.
func follow[T any](ctx context.Context, c *Client, path string, request any, report func(Progress)) (got T, err error) {
	b, err := json.Marshal(request)
	if err != nil {
		return got, err
	}
	resp, err := c.do(ctx, "POST", path, bytes.NewReader(b))
	if err != nil {
		return got, err
	}
	defer resp.Body.Close()
	for d := json.NewDecoder(resp.Body); ; {
		var u update[T]
		switch err := d.Decode(&u); {
		case err != nil && ctx.Err() != nil:
			return got, context.Cause(ctx)
		case err != nil:
			return got, fmt.Errorf("%s was broken off: %w", path[1:], err)
		case u.Error != "":
			return got, errors.New(u.Error)
		case u.Result != nil:
			return *u.Result, nil
		case u.Progress != nil:
			report(*u.Progress)
		}
	}
}

// call sends one request and decodes the answer into v, if v is not nil.
func (c *Client) call(ctx context.Context, method, path string, body, v any) error {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(b)
	}
	resp, err := c.do(ctx, method, path, payload)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if v == nil {
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// dialCause returns what the system said: the rest of a dial error repeats the socket.
func dialCause(err error) error {
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err
	}
	return err
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://sutler"+prefix+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("the sutler on %s belongs to another user: %w", c.socket, fs.ErrPermission)
		}
		return nil, fmt.Errorf("%w: %s: %w", ErrNotRunning, c.socket, dialCause(err))
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var f failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
		return nil, fmt.Errorf("%s answered %s", c.socket, resp.Status)
	}
	if f.Code == notFound {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, f.Error)
	}
	return nil, errors.New(f.Error)
}
