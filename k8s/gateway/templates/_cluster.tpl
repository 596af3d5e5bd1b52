{{/* Several nodes. Empty: one node; also with the values of a version that had no cluster. */}}
{{- define "gateway.isCluster" -}}
{{- if (.Values.cluster).servers -}}true{{- end -}}
{{- end -}}

{{/* Whether pods are replaced one after the other. A claim belongs to one pod, so with one the old pod must go first. */}}
{{- define "gateway.rolls" -}}
{{- if and (include "gateway.isCluster" .) (not .Values.persistence.enabled) -}}true{{- end -}}
{{- end -}}

{{- define "gateway.clusterChecks" -}}
{{- if lt (int .Values.replicas) 1 -}}
{{- fail "replicas: must be 1 or more" -}}
{{- end -}}
{{- if include "gateway.isCluster" . -}}
{{- $auth := .Values.cluster.auth -}}
{{- $peer := .Values.cluster.peer -}}
{{- if and (gt (int .Values.replicas) 1) .Values.persistence.enabled -}}
{{- fail "persistence.enabled: one claim cannot serve several pods; leave it out with more than one replica, because the routes are in NATS" -}}
{{- end -}}
{{- if and (eq $auth.method "none") (or $auth.user $auth.existingSecret) -}}
{{- fail "cluster.auth.method: is none, but user or existingSecret is set; set password, credentials or nkey" -}}
{{- end -}}
{{- if and (ne $auth.method "none") (not $auth.existingSecret) -}}
{{- fail (printf "cluster.auth.existingSecret: is needed for the method %s; name the Secret" $auth.method) -}}
{{- end -}}
{{- if ne (eq $auth.method "password") (not (empty $auth.user)) -}}
{{- fail "cluster.auth.user: belongs to the method password, and is needed for it" -}}
{{- end -}}
{{- if and $peer.existingSecret $peer.secrets -}}
{{- fail "cluster.peer: give either existingSecret or secrets" -}}
{{- end -}}
{{- if not (or $peer.existingSecret $peer.secrets $peer.tlsSecret) -}}
{{- fail "cluster.peer.existingSecret: is needed (or secrets, or tlsSecret), so that only nodes can link with nodes" -}}
{{- end -}}
{{- if has (int $peer.port) (list 8080 (int .Values.admin.port)) -}}
{{- fail (printf "cluster.peer.port: %d is the HTTP port or the admin port; set another port" (int $peer.port)) -}}
{{- end -}}
{{- else if gt (int .Values.replicas) 1 -}}
{{- fail (printf "cluster.servers: is needed with %d replicas; name the NATS servers, through which the pods find each other's agents" (int .Values.replicas)) -}}
{{- end -}}
{{- end -}}

{{/* Seconds. A pod that is the only one must be ready at once. */}}
{{- define "gateway.readyWait" -}}
{{- if kindIs "invalid" .Values.readyWait -}}
{{- ternary 15 0 (not (empty (include "gateway.rolls" .))) -}}
{{- else -}}
{{- .Values.readyWait -}}
{{- end -}}
{{- end -}}

{{/* The secrets between the nodes for the Secret that the chart makes, a line each; empty if it makes none. */}}
{{- define "gateway.peerSecrets" -}}
{{- if include "gateway.isCluster" . -}}
{{- join "\n" .Values.cluster.peer.secrets -}}
{{- end -}}
{{- end -}}

{{- define "gateway.peerSecretName" -}}
{{- .Values.cluster.peer.existingSecret | default (print (include "gateway.fullname" .) "-peer") -}}
{{- end -}}

{{/* Where the other nodes dial a pod. The kubelet puts the pod's address in. */}}
{{- define "gateway.peerUrl" -}}
{{- $scheme := ternary "https" "http" (not (empty .Values.cluster.peer.tlsSecret)) -}}
{{- $host := ternary "[$(POD_IP)]" "$(POD_IP)" (contains ":" .Values.listen) -}}
{{- printf "%s://%s:%d" $scheme $host (int .Values.cluster.peer.port) | quote -}}
{{- end -}}

{{/*
The Secrets that the nodes read, as JSON: name of the volume, folder in the pod, and per key the file and its setting in
[cluster]. The volumes, their mounts and the settings are all made from this list.
*/}}
{{- define "gateway.clusterFiles" -}}
{{- $files := list -}}
{{- if include "gateway.isCluster" . -}}
{{- $cluster := .Values.cluster -}}
{{- $ca := dict "key" "ca.crt" "path" "ca.crt" -}}
{{- $certificate := dict "key" "tls.crt" "path" "tls.crt" -}}
{{- $key := dict "key" "tls.key" "path" "tls.key" -}}
{{- if ne $cluster.auth.method "none" -}}
{{- $method := $cluster.auth.method -}}
{{- $item := dict "key" ($cluster.auth.key | default $method) "path" $method "setting" (print $method "_file") -}}
{{- $files = append $files (dict "name" "nats-auth" "secret" $cluster.auth.existingSecret "items" (list $item)) -}}
{{- end -}}
{{- with $cluster.tls.caSecret -}}
{{- $files = append $files (dict "name" "nats-ca" "secret" . "items" (list (merge (dict "setting" "ca_file") $ca))) -}}
{{- end -}}
{{- with $cluster.tls.clientSecret -}}
{{- $items := list (merge (dict "setting" "certificate") $certificate) (merge (dict "setting" "key") $key) -}}
{{- $files = append $files (dict "name" "nats-tls" "secret" . "items" $items) -}}
{{- end -}}
{{- if or $cluster.peer.existingSecret $cluster.peer.secrets -}}
{{- $item := dict "key" $cluster.peer.key "path" "secret" "setting" "peer_secret_file" -}}
{{- $files = append $files (dict "name" "peer-secret" "secret" (include "gateway.peerSecretName" .) "items" (list $item)) -}}
{{- end -}}
{{- with $cluster.peer.tlsSecret -}}
{{- $items := list (merge (dict "setting" "peer_ca_file") $ca) (merge (dict "setting" "peer_certificate") $certificate) (merge (dict "setting" "peer_key") $key) -}}
{{- $files = append $files (dict "name" "peer-tls" "secret" . "items" $items) -}}
{{- end -}}
{{- end -}}
{{- range $files -}}{{- $_ := set . "folder" (print "/run/secrets/tunnel-gateway-" .name) -}}{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{/* The keys of [cluster], as JSON. The pod's variables have the two that differ from pod to pod. */}}
{{- define "gateway.clusterSettings" -}}
{{- $cluster := .Values.cluster -}}
{{- $settings := dict "servers" $cluster.servers "bucket_prefix" $cluster.bucketPrefix "replicas" $cluster.bucketReplicas -}}
{{- $_ := set $settings "peer_bind" (include "gateway.address" (dict "host" .Values.listen "port" $cluster.peer.port)) -}}
{{- with $cluster.auth.user -}}{{- $_ := set $settings "user" . -}}{{- end -}}
{{- range $file := include "gateway.clusterFiles" . | fromJsonArray -}}
{{- range .items -}}{{- $_ := set $settings .setting (print $file.folder "/" .path) -}}{{- end -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/* The ports of the NATS servers, as JSON. */}}
{{- define "gateway.natsPorts" -}}
{{- $ports := list -}}
{{- range .Values.cluster.servers -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" (trimSuffix "/" .) | trimPrefix ":" | default "4222" | int) -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{/* topologySpreadConstraints, as JSON. By default the pods of a rollout are spread by themselves: the old ones go. */}}
{{- define "gateway.spread" -}}
{{- $constraints := .Values.topologySpreadConstraints -}}
{{- if and (kindIs "invalid" $constraints) (include "gateway.rolls" .) -}}
{{- $constraints = list -}}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" -}}
{{- $constraint := dict "maxSkew" 1 "topologyKey" $key "whenUnsatisfiable" "ScheduleAnyway" -}}
{{- if semverCompare ">=1.27-0" $.Capabilities.KubeVersion.Version -}}
{{- $_ := set $constraint "matchLabelKeys" (list "pod-template-hash") -}}
{{- end -}}
{{- $constraints = append $constraints $constraint -}}
{{- end -}}
{{- end -}}
{{- $selector := dict "matchLabels" (include "gateway.selector" . | fromYaml) -}}
{{- $whole := list -}}
{{- range $constraints -}}
{{- if hasKey . "labelSelector" -}}{{- $whole = append $whole . -}}
{{- else -}}{{- $whole = append $whole (merge (dict "labelSelector" $selector) .) -}}{{- end -}}
{{- end -}}
{{- toJson $whole -}}
{{- end -}}
