{{/* Checks that the schema cannot express. The Deployment includes them, so nothing is rendered without them. */}}
{{- define "agent.checks" -}}
{{- if not .Values.gateways -}}
{{- fail "gateways: is required; set the addresses to dial, for example [wss://tunnel.example.com/agent]" -}}
{{- end -}}
{{- if not .Values.cluster -}}
{{- fail "cluster: is required; set the name of the cluster that this agent serves" -}}
{{- end -}}
{{- if eq (empty .Values.token.existingSecret) (empty .Values.token.value) -}}
{{- fail "token: give either existingSecret or value" -}}
{{- end -}}
{{- if not (or .Values.allow .Values.services) -}}
{{- fail "allow: is empty, and so is services; name at least one service, because the agent reaches only what they name" -}}
{{- end -}}
{{- if and .Values.networkPolicy.restrictEgress (not .Values.networkPolicy.egress) -}}
{{- fail "networkPolicy.egress: is empty; the agent could not reach its gateway; add a rule for it" -}}
{{- end -}}
{{- if and .Values.networkPolicy.restrictEgress (not .Values.networkPolicy.enabled) -}}
{{- fail "networkPolicy.restrictEgress: needs networkPolicy.enabled" -}}
{{- end -}}
{{- if and .Values.networkPolicy.metricsNamespace (not (include "agent.healthPort" .)) -}}
{{- fail "networkPolicy.metricsNamespace: needs health.enabled, because without it there are no metrics" -}}
{{- end -}}
{{- end -}}

{{/* Termination grace: it must be longer than --grace, or the kubelet kills the pod with its running streams. */}}
{{- define "agent.terminationGrace" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- addf .Values.grace 10 | ceil | int64 -}}
{{- else if lt (float64 .Values.terminationGracePeriodSeconds) (addf .Values.grace 3) -}}
{{- fail (printf "terminationGracePeriodSeconds: %v is too short for grace = %v s; set at least 3 s more" .Values.terminationGracePeriodSeconds .Values.grace) -}}
{{- else -}}
{{- int64 .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
