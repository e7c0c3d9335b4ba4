package control

// Names says how a configuration has names answered.
type Names struct {
	Listen      []string    `json:"listen"`
	Redirect    []string    `json:"redirect"`
	Upstreams   []string    `json:"upstreams"`
	Zones       []NamesZone `json:"zones"`
	Intercepted int         `json:"intercepted"` // hosts and patterns
	Rules       string      `json:"rules"`       // as nft reads them
}

// A NamesZone is one zone, and by what it is answered: records, resolvers or an engine.
type NamesZone struct {
	Name string   `json:"name"`
	Kind string   `json:"kind"`
	By   []string `json:"by"`
}
