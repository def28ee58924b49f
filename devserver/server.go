package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"
	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
	"gopkg.in/yaml.v3"
)

const (
	clusterName = "active"
	storeName   = "sqlite"
)

// server is a running Temporal server and its web UI.
type server struct {
	temporal temporal.Server
	ui       *uiserver.Server // nil when headless
	uiFailed chan error
	log      logging
}

// newServer opens the database and puts the services together; nothing
// listens yet.
//
// Membership is static, so that no rows about earlier processes are kept in
// the file: with them, a server that was killed waits for its own ghost.
func newServer(o *options) (*server, error) {
	store, err := openDatabase(o)
	if err != nil {
		return nil, err
	}
	inner, err := freePorts(loopback, 3)
	if err != nil {
		return nil, err
	}
	conf := serverConfig(o, store, inner)
	logs := newLogging(o)
	if o.logConfig {
		if text, err := yaml.Marshal(conf); err == nil {
			fmt.Fprintln(os.Stderr, string(text))
		}
	}
	claims := authorization.NewNoopClaimMapper()
	s, err := temporal.NewServer(
		temporal.WithConfig(conf),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(staticHosts(conf)),
		temporal.WithLogger(logs.logger),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return claims }),
		temporal.WithDynamicConfigClient(dynamicConfigClient(o.dynamicConfig)),
	)
	if err != nil {
		return nil, err
	}
	return &server{temporal: s, ui: newUI(o), uiFailed: make(chan error, 1), log: logs}, nil
}

// start returns once the services accept requests.
func (s *server) start() error {
	if s.ui != nil {
		go func() {
			if err := s.ui.Start(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				s.uiFailed <- err
			}
		}()
	}
	return s.temporal.Start()
}

// stop ends everything, within seconds. Services report each other as unreachable while they
// end, which tells a reader nothing, so only fatal errors are logged.
func (s *server) stop() error {
	s.log.quiet()
	if s.ui != nil {
		s.ui.Stop()
	}
	return s.temporal.Stop()
}

// staticHosts maps each service to its one address.
func staticHosts(conf *config.Config) map[primitives.ServiceName]static.Hosts {
	hosts := map[primitives.ServiceName]static.Hosts{}
	for name, service := range conf.Services {
		host := address(reachable(service.RPC.BindOnIP), service.RPC.GRPCPort)
		hosts[primitives.ServiceName(name)] = static.SingleLocalHost(host)
	}
	return hosts
}

// serverConfig describes one host with one shard. inner holds the ports of
// history, matching and worker, which listen on loopback only.
func serverConfig(o *options, store *config.SQL, inner []int) *config.Config {
	frontend := address(reachable(o.ip), o.port)
	conf := &config.Config{
		Global: config.Global{
			Membership: config.Membership{
				MaxJoinDuration:  30 * time.Second,
				BroadcastAddress: reachable(o.ip),
			},
		},
		Persistence: config.Persistence{
			DefaultStore:     storeName,
			VisibilityStore:  storeName,
			NumHistoryShards: 1,
			DataStores:       map[string]config.DataStore{storeName: {SQL: store}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{clusterName: {
				Enabled:                true,
				InitialFailoverVersion: 1,
				RPCAddress:             frontend,
				HTTPAddress:            address(reachable(o.ip), o.httpPort),
				ClusterID:              uuid.NewString(),
			}},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): {
				RPC: config.RPC{GRPCPort: o.port, HTTPPort: o.httpPort, BindOnIP: o.ip},
			},
			string(primitives.HistoryService):  innerService(inner[0]),
			string(primitives.MatchingService): innerService(inner[1]),
			string(primitives.WorkerService):   innerService(inner[2]),
		},
		PublicClient: config.PublicClient{HostPort: frontend},
	}
	const off = "disabled"
	conf.Archival.History.State, conf.Archival.Visibility.State = off, off
	conf.NamespaceDefaults.Archival.History.State = off
	conf.NamespaceDefaults.Archival.Visibility.State = off
	if o.metricsPort != 0 {
		conf.Global.Metrics = &metrics.Config{Prometheus: &metrics.PrometheusConfig{
			ListenAddress: address(o.ip, o.metricsPort),
			HandlerPath:   "/metrics",
		}}
	}
	return conf
}

func innerService(port int) config.Service {
	return config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: loopback}}
}

func newUI(o *options) *uiserver.Server {
	if o.headless {
		return nil
	}
	return uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		Host:                bracketed(o.uiIP),
		Port:                o.uiPort,
		TemporalGRPCAddress: address(reachable(o.ip), o.port),
		EnableUI:            true,
		PublicPath:          o.publicPath,
		UIAssetPath:         o.uiAssetPath,
		Codec:               uiconfig.Codec{Endpoint: o.codecEndpoint},
		CORS:                uiconfig.CORS{CookieInsecure: true},
		HideLogs:            true,
		DisableNewsFetch:    true,
	}))
}
