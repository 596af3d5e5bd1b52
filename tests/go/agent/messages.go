package agent

import (
	"fmt"
	"time"
)

const agentVersion = "9.9.9"

// envelope is the one shape of every text message, in both directions. encoding/json gives what the
// recordings show: keys of a payload sorted, <, > and & escaped, an RFC 3339 timestamp with its zone.
type envelope struct {
	Type      string         `json:"type"`
	RequestID string         `json:"request_id,omitempty"`
	Payload   map[string]any `json:"payload"`
	Timestamp time.Time      `json:"timestamp"`
}

func newEnvelope(kind, requestID string, payload map[string]any) *envelope {
	return &envelope{Type: kind, RequestID: requestID, Payload: payload, Timestamp: time.Now()}
}

func (e *envelope) text(key string) string {
	value, _ := e.Payload[key].(string)
	return value
}

// supportedTypes is what a real agent claims in protocol_fallback; it leaves out gateway_hello and the
// tunnel messages although it handles them.
var supportedTypes = []string{
	"register_success",
	"register_in_progress",
	"heartbeat_ack",
	"pong",
	"ping",
	"proxy_request",
	"proxy_request_chunk",
	"proxy_request_stream_end",
	"proxy_cancel",
	"proxy_stream_data",
	"proxy_websocket_start",
	"proxy_websocket_data",
	"proxy_websocket_close",
	"ws_start",
	"ws_data",
	"ws_close",
	"error",
}

// quietTypes are handled by a real agent, hence never answered with protocol_fallback. This program has
// the yamux side only: it does nothing for them.
var quietTypes = map[string]bool{
	"register_success": true, "register_in_progress": true, "heartbeat_ack": true, "pong": true,
	"proxy_request": true, "proxy_request_chunk": true, "proxy_request_stream_end": true, "proxy_cancel": true,
	"proxy_stream_data": true, "proxy_websocket_start": true, "ws_start": true, "proxy_websocket_data": true,
	"ws_data": true, "proxy_websocket_close": true, "ws_close": true, "tcp_tunnel_start": true,
	"tcp_tunnel_data": true, "tcp_tunnel_close": true, "udp_tunnel_data": true,
}

func registerMessage(o *options) *envelope {
	mode := "fresh"
	if o.clusterID != "" {
		mode = "resume"
	}
	payload := map[string]any{
		"agent_id": o.agentID, "name": o.name, "k8s_version": "v1.31.0", "hostname": "127.0.0.1",
		"agent_version": agentVersion, "server_ip": "203.0.113.7", "region": "DE", "cloud_provider": "agent",
		"tunnel_port_config": struct {
			KubernetesAPI int `json:"kubernetes_api"`
			Kubelet       int `json:"kubelet"`
			AgentHTTP     int `json:"agent_http"`
		}{6443, 10250, 8080},
		"labels":       map[string]string{"hostname": "127.0.0.1"},
		"server_specs": map[string]any{},
		"features": map[string]bool{
			"supports_streaming": true, "supports_binary_protocol": true, "supports_compression": true,
			"supports_websocket_proxy": true, "supports_gateway": true, "supports_response_streaming": true,
		},
		"metadata":          map[string]string{"agent_mode": "vm-agent", "registration_mode": mode},
		"k8s_service_token": "k8s-sa-token",
	}
	if o.clusterID != "" {
		payload["cluster_id"] = o.clusterID
	}
	return newEnvelope("register", fmt.Sprintf("req_%d_%s", time.Now().UnixNano(), o.agentID), payload)
}

func heartbeatMessage(agentID, clusterID string) *envelope {
	return newEnvelope("heartbeat", "", map[string]any{
		"agent_id": agentID, "cluster_id": clusterID, "status": "healthy", "tunnel_status": "connected",
		"metadata": map[string]any{
			"agent_version": agentVersion, "k8s_version": "v1.31.0", "k8s_nodes": 1, "k8s_pods": 0,
			"gateway_routes": 0, "cpu_usage": "0%", "memory_usage": "0%", "is_private": true,
		},
	})
}

func fallbackMessage(unknown *envelope) *envelope {
	payload := map[string]any{
		"agent_version": "pipeops-k8-agent", "unknown_type": unknown.Type, "supported_types": supportedTypes,
		"fallback_mode": "legacy_proxy", "protocol_version": "1.0", "timestamp": time.Now().UTC().Format(time.RFC3339),
	}
	if unknown.RequestID != "" {
		payload["original_request_id"] = unknown.RequestID
	}
	return newEnvelope("protocol_fallback", "", payload)
}
