{{/*
One value as TOML. JSON strings, numbers and booleans are valid TOML; a map becomes an inline table. (toToml would write
every number as a float, because Helm turns numbers into floats.)
*/}}
{{- define "toml.value" -}}
{{- if kindIs "map" . -}}
{ {{- range $i, $key := keys . | sortAlpha }}{{ if $i }},{{ end }} {{ toJson $key }} = {{ include "toml.value" (index $ $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{ range $i, $item := . }}{{ if $i }}, {{ end }}{{ include "toml.value" $item }}{{ end }}]
{{- else if kindIs "invalid" . -}}
{{- fail "gateway.toml: TOML has no null; remove the key" -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{/* The lines of a [[table]]. It refuses a plain token too, because the schema's check can be switched off. */}}
{{- define "toml.entry" -}}
{{- $entry := . -}}
{{- if hasKey $entry "token" -}}
{{- fail "agents: a plain token must not be in a ConfigMap; give token_sha256 instead" -}}
{{- end -}}
{{- range $key := keys $entry | sortAlpha }}
{{ $key }} = {{ include "toml.value" (index $entry $key) }}
{{- end -}}
{{- end -}}

{{/* host:port, with brackets around an IPv6 address. */}}
{{- define "gateway.address" -}}
{{- if contains ":" .host -}}[{{ .host }}]{{- else -}}{{ .host }}{{- end -}}:{{ .port }}
{{- end -}}

{{/* The admin listener. Without a token it listens on the pod's loopback only. */}}
{{- define "gateway.adminHost" -}}
{{- if include "gateway.adminSecret" . -}}{{ .Values.listen }}{{- else -}}127.0.0.1{{- end -}}
{{- end -}}

{{/* The plain keys of gateway.toml, as JSON. */}}
{{- define "gateway.settings" -}}
{{- $settings := dict "drain_delay" .Values.drainDelay "shutdown_grace" .Values.shutdownGrace -}}
{{- $_ := set $settings "ready_wait" (include "gateway.readyWait" . | float64) -}}
{{- $_ := set $settings "log_format" .Values.logFormat -}}
{{- $_ := set $settings "log_level" .Values.logLevel -}}
{{- $_ := set $settings "public_url" .Values.publicUrl -}}
{{- $_ := set $settings "control_hosts" .Values.controlHosts -}}
{{- $_ := set $settings "trusted_proxies" .Values.trustedProxies -}}
{{- $_ := set $settings "proxy_protocol" .Values.proxyProtocol -}}
{{- $_ := set $settings "held_bytes_limit" .Values.heldBytesLimit -}}
{{- $_ := set $settings "held_bytes_hard_limit" .Values.heldBytesHardLimit -}}
{{- $_ := set $settings "state_dir" "/var/lib/tunnel-gateway" -}}
{{- $_ := set $settings "admin_bind" (include "gateway.address" (dict "host" (include "gateway.adminHost" .) "port" .Values.admin.port)) -}}
{{- $_ := set $settings "admin_token_file" (ternary "/run/secrets/tunnel-gateway/token" "" (not (empty (include "gateway.adminSecret" .)))) -}}
{{- if include "gateway.tlsSecret" . -}}
{{- $_ := set $settings "tls_certificate" "/run/secrets/tunnel-gateway-tls/tls.crt" -}}
{{- $_ := set $settings "tls_key" "/run/secrets/tunnel-gateway-tls/tls.key" -}}
{{- end -}}
{{- range $key, $value := .Values.extra -}}
{{- if or (hasKey $settings $key) (has $key (list "agents" "routes" "cluster")) -}}
{{- fail (printf "extra.%s: this key is not allowed here; the chart has its own value for it" $key) -}}
{{- end -}}
{{- $_ := set $settings $key $value -}}
{{- end -}}
{{- range $key := list "public_url" "control_hosts" "trusted_proxies" "proxy_protocol" "ready_wait" "held_bytes_limit" "held_bytes_hard_limit" "admin_token_file" -}}
{{- if empty (index $settings $key) -}}{{- $_ := unset $settings $key -}}{{- end -}}
{{- end -}}
{{- if include "gateway.isCluster" . -}}
{{- $_ := set $settings "ready_wait" (include "gateway.readyWait" . | float64) -}}{{/* 0 too */}}
{{- $_ := set $settings "cluster" (include "gateway.clusterSettings" . | fromJson) -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/*
The keys that a running gateway cannot change (app/operator/reload.py, NEEDS_RESTART). The pod has their checksum, so a
change of these restarts it. The rest of the ConfigMap has no checksum: the running gateway reads routes and tokens again,
and a restart would close every WebSocket.
*/}}
{{- define "gateway.needsRestart" -}}
{{- pick (include "gateway.settings" . | fromJson) "admin_bind" "client_ping_interval" "client_ping_timeout" "cluster" "held_bytes_hard_limit" "held_bytes_limit" "host" "log_format" "log_level" "max_connections" "port" "proxy_protocol" "reconnect_grace" "spool_bytes_limit" "state_dir" "tls_certificate" "tls_key" | toJson -}}
{{- end -}}

{{- define "gateway.toml" -}}
{{- $settings := include "gateway.settings" . | fromJson -}}
{{- range $key := keys (omit $settings "cluster") | sortAlpha -}}
{{ $key }} = {{ include "toml.value" (index $settings $key) }}
{{ end -}}
{{- with $settings.cluster }}
[cluster]
{{- range $key := keys . | sortAlpha }}
{{ $key }} = {{ include "toml.value" (index $settings.cluster $key) }}
{{- end }}
{{ end -}}
{{- range .Values.agents }}
[[agents]]
{{- include "toml.entry" . }}
{{ end -}}
{{- range .Values.routes }}
[[routes]]
{{- include "toml.entry" . }}
{{ end -}}
{{- end -}}
