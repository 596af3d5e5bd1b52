{{/* Checks that the schema cannot express. The Deployment includes them, so nothing is rendered without them. */}}
{{- define "gateway.checks" -}}
{{- include "gateway.clusterChecks" . -}}
{{- if not (or .Values.publicUrl .Values.controlHosts) -}}
{{- fail "publicUrl: is required (or controlHosts); set the address that agents dial" -}}
{{- end -}}
{{- if and .Values.admin.existingSecret .Values.admin.token -}}
{{- fail "admin: give either existingSecret or token" -}}
{{- end -}}
{{- if eq (int .Values.admin.port) 8080 -}}
{{- fail "admin.port: 8080 is the HTTP port; set another port" -}}
{{- end -}}
{{- if and .Values.proxyProtocol (not .Values.trustedProxies) -}}
{{- fail "proxyProtocol: needs trustedProxies; name the networks of the balancer" -}}
{{- end -}}
{{- if and .Values.proxyProtocol (not (include "gateway.adminSecret" .)) -}}
{{- fail "proxyProtocol: needs admin.existingSecret or admin.token, because the probes use the admin port then" -}}
{{- end -}}
{{- range $index, $route := .Values.routes -}}
{{- if and $route.ca_file (not (hasKey $.Values.caFiles $route.ca_file)) -}}
{{- fail (printf "routes[%d].ca_file: %s is not in caFiles; add it there" $index $route.ca_file) -}}
{{- end -}}
{{- end -}}
{{- if ((.Values.metrics).serviceMonitor).enabled -}}
{{- if not (include "gateway.adminSecret" .) -}}
{{- fail "metrics.serviceMonitor: needs admin.existingSecret or admin.token; without a token the metrics do not leave the pod" -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.adminNamespace) -}}
{{- fail "metrics.serviceMonitor: needs networkPolicy.adminNamespace; name the namespace of Prometheus" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.persistence.existingClaim (not .Values.persistence.enabled) -}}
{{- fail "persistence.existingClaim: needs persistence.enabled" -}}
{{- end -}}
{{- if and .Values.service.externalTrafficPolicy (eq .Values.service.type "ClusterIP") -}}
{{- fail "service.externalTrafficPolicy: needs service.type NodePort or LoadBalancer" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: is empty; name the host of publicUrl and the routed hosts" -}}
{{- end -}}
{{- if and (include "gateway.tlsSecret" .) (or .Values.ingress.enabled .Values.httpRoute.enabled) -}}
{{- fail "tls.secretName: an Ingress or HTTPRoute ends TLS itself, and speaks plain HTTP to the gateway; leave out one of them" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: is empty; name the Gateway" -}}
{{- end -}}
{{- end -}}

{{/*
Termination grace: it includes preStop and the stop itself, and leaves 15 s to close the links and end the process. If it
is too short, the kubelet kills the pod with its running requests. So the chart refuses less than 5 s.
*/}}
{{- define "gateway.terminationGrace" -}}
{{- $drain := addf .Values.drainDelay .Values.shutdownGrace -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- addf $drain 15 | ceil | int64 -}}
{{- else if lt (float64 .Values.terminationGracePeriodSeconds) (addf $drain 5) -}}
{{- fail (printf "terminationGracePeriodSeconds: %v is too short for drainDelay + shutdownGrace = %v s; set at least 5 s more" .Values.terminationGracePeriodSeconds $drain) -}}
{{- else -}}
{{- int64 .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
