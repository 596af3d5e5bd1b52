{{/* What the schema cannot say, each with its reason. Included by the Deployment, so that nothing renders past it. */}}
{{- define "gateway.checks" -}}
{{- if ne (int .Values.replicas) 1 -}}
{{- fail "replicas: must be 1, because gateway processes cannot find the agents of one another yet" -}}
{{- end -}}
{{- if not (or .Values.publicUrl .Values.controlHosts) -}}
{{- fail "publicUrl: is required (or controlHosts); without it agents have no host to dial" -}}
{{- end -}}
{{- if and .Values.admin.existingSecret .Values.admin.token -}}
{{- fail "admin: give either existingSecret or token" -}}
{{- end -}}
{{- if eq (int .Values.admin.port) 8080 -}}
{{- fail "admin.port: 8080 is the HTTP port" -}}
{{- end -}}
{{- range $index, $route := .Values.routes -}}
{{- if and $route.ca_file (not (hasKey $.Values.caFiles $route.ca_file)) -}}
{{- fail (printf "routes[%d].ca_file: %s is not among caFiles" $index $route.ca_file) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.persistence.existingClaim (not .Values.persistence.enabled) -}}
{{- fail "persistence.existingClaim: needs persistence.enabled" -}}
{{- end -}}
{{- if and .Values.service.externalTrafficPolicy (eq .Values.service.type "ClusterIP") -}}
{{- fail "service.externalTrafficPolicy: needs the type NodePort or LoadBalancer" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: is empty; name the host of publicUrl and the routed hosts" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: is empty; name the Gateway" -}}
{{- end -}}
{{- end -}}

{{/*
Termination grace: preStop and the stop itself both count into it. 15 s are left for closing the links and the
interpreter's end; the pod is killed with its requests when it is too short, so that less than 5 s is refused.
*/}}
{{- define "gateway.terminationGrace" -}}
{{- $drain := addf .Values.drainDelay .Values.shutdownGrace -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- addf $drain 15 | ceil | int64 -}}
{{- else if lt (float64 .Values.terminationGracePeriodSeconds) (addf $drain 5) -}}
{{- fail (printf "terminationGracePeriodSeconds: %v is too short for drainDelay + shutdownGrace = %v s; at least 5 s more" .Values.terminationGracePeriodSeconds $drain) -}}
{{- else -}}
{{- int64 .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
