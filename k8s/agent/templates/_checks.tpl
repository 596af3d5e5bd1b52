{{/* What the schema cannot say, each with its reason. Included by the Deployment, so that nothing renders past it. */}}
{{- define "agent.checks" -}}
{{- if not .Values.gateways -}}
{{- fail "gateways: is required, for example [wss://tunnel.example.com/agent]" -}}
{{- end -}}
{{- if not .Values.cluster -}}
{{- fail "cluster: is required, the name of the cluster that this agent serves" -}}
{{- end -}}
{{- if eq (empty .Values.token.existingSecret) (empty .Values.token.value) -}}
{{- fail "token: give either existingSecret or value" -}}
{{- end -}}
{{- if not (or .Values.allow .Values.services) -}}
{{- fail "allow: is empty, and so is services; the agent reaches only what it is told to" -}}
{{- end -}}
{{- if and .Values.networkPolicy.restrictEgress (not .Values.networkPolicy.egress) -}}
{{- fail "networkPolicy.egress: is empty; the agent could not reach its gateway" -}}
{{- end -}}
{{- if and .Values.networkPolicy.restrictEgress (not .Values.networkPolicy.enabled) -}}
{{- fail "networkPolicy.restrictEgress: needs networkPolicy.enabled" -}}
{{- end -}}
{{- end -}}

{{/* Termination grace: longer than --grace, or the pod is killed with its running streams. */}}
{{- define "agent.terminationGrace" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- addf .Values.grace 10 | ceil | int64 -}}
{{- else if lt (float64 .Values.terminationGracePeriodSeconds) (addf .Values.grace 3) -}}
{{- fail (printf "terminationGracePeriodSeconds: %v is too short for grace = %v s; at least 3 s more" .Values.terminationGracePeriodSeconds .Values.grace) -}}
{{- else -}}
{{- int64 .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
