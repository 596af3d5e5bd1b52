{{/* The chart's name, as a label. */}}
{{- define "gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of all objects: the release's name, then the chart's name unless the first contains it. */}}
{{- define "gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "gateway.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "gateway.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels that select our pods. They must never change for a release. */}}
{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/component: gateway
app.kubernetes.io/part-of: tunnel-gateway
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "gateway.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The Secret with the certificate; empty if there is none, or with the values of a version that had no tls. */}}
{{- define "gateway.tlsSecret" -}}
{{- with .Values.tls -}}{{- .secretName -}}{{- end -}}
{{- end -}}

{{/* The name of the public port, and of the scheme on it. */}}
{{- define "gateway.port" -}}
{{- ternary "https" "http" (not (empty (include "gateway.tlsSecret" .))) -}}
{{- end -}}

{{/* The Service's public port. */}}
{{- define "gateway.servicePort" -}}
{{- .Values.service.port | default (ternary 443 80 (not (empty (include "gateway.tlsSecret" .)))) -}}
{{- end -}}

{{/* The Secret with the admin token; empty if there is none. */}}
{{- define "gateway.adminSecret" -}}
{{- if .Values.admin.existingSecret -}}
{{- .Values.admin.existingSecret -}}
{{- else if .Values.admin.token -}}
{{- include "gateway.fullname" . }}-admin
{{- end -}}
{{- end -}}

{{/* The Service that agents dial. It has the pods that are not ready, too: a pod that waits for its agents is not. */}}
{{- define "gateway.agentService" -}}
{{ include "gateway.fullname" . }}-agents
{{- end -}}

{{/* Those of some hosts that agents dial, as JSON: the host of publicUrl and controlHosts. On all others, every path
belongs to the routed service. */}}
{{- define "gateway.agentHosts" -}}
{{- $dialled := list -}}
{{- range append (.root.Values.controlHosts | default list) (get (urlParse .root.Values.publicUrl) "host") -}}
{{- $dialled = append $dialled (regexReplaceAll ":[0-9]+$" . "" | lower) -}}
{{- end -}}
{{- $found := list -}}
{{- range .hosts -}}
{{- if has . $dialled -}}{{- $found = append $found . -}}{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* The paths that agents ask for, as JSON, below the path of publicUrl: [kind of match, path]. */}}
{{- define "gateway.agentPaths" -}}
{{- $prefix := get (urlParse .Values.publicUrl) "path" | trimSuffix "/" -}}
{{- list (list "Exact" (print $prefix "/agent")) (list "Exact" (print $prefix "/ws")) (list "Prefix" (print $prefix "/api/v1")) | toJson -}}
{{- end -}}
