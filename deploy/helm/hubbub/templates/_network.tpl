{{/* Who may talk to whom. Without a policy engine in the cluster these say nothing. */}}

{{/* Every pod of this release. */}}
{{- define "hubbub.ownPods" -}}
podSelector:
  matchLabels:
    app.kubernetes.io/name: hubbub
    app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* A rule of networkPolicy.egress: (dict "rule" map "else" peers-as-text) */}}
{{- define "hubbub.egressRule" -}}
- ports:
    {{- range .rule.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .rule.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "hubbub.egressTo" -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "hubbub.selector" . | nindent 10 }}
  ports: [{port: {{ .port }}, protocol: TCP}]
{{- end -}}

{{- define "hubbub.networkPolicy" -}}
{{- $policy := .root.Values.networkPolicy -}}
{{- if $policy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "hubbub.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "hubbub.selector" . | nindent 6 }}
  policyTypes: {{ ternary "[Ingress, Egress]" "[Ingress]" $policy.egress.enabled }}
  ingress:
    - ports: [{port: ops, protocol: TCP}]
      from:
        - {{- include "hubbub.ownPods" .root | nindent 10 }}
        {{- with $policy.metricsFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- if .facts.http }}
    - ports: [{port: http, protocol: TCP}]
      {{- with $policy.ingressFrom }}
      from:
        - {{- include "hubbub.ownPods" $.root | nindent 10 }}
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
  {{- if $policy.egress.enabled }}
  egress:
    - ports:
        - {port: 53, protocol: UDP}
        - {port: 53, protocol: TCP}
    {{- if .root.Values.nats.enabled }}
    {{- include "hubbub.egressTo" (dict "root" .root "name" "nats" "port" 4222) | nindent 4 }}
    {{- else }}
    {{- include "hubbub.egressRule" (dict "rule" $policy.egress.nats) | nindent 4 }}
    {{- end }}
    {{- if .facts.mongo }}
    {{- if include "hubbub.ownMongo" .root }}
    {{- include "hubbub.egressTo" (dict "root" .root "name" "mongodb" "port" 27017) | nindent 4 }}
    {{- else }}
    {{- include "hubbub.egressRule" (dict "rule" $policy.egress.mongodb) | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- if .root.Values.tracing.endpoint }}
    {{- include "hubbub.egressRule" (dict "rule" $policy.egress.tracing) | nindent 4 }}
    {{- end }}
    {{- range .facts.egress }}
    {{- include "hubbub.egressRule" (dict "rule" (index $policy.egress .)) | nindent 4 }}
    {{- end }}
    {{- if eq .name "operator" }}
    {{- include "hubbub.egressTo" (dict "root" .root "name" "streamer" "port" 8081) | nindent 4 }}
    {{- end }}
    {{- with $policy.egress.extra }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The policy of a bundled server: (dict "root" . "name" "nats" "port" 4222 "peers" port "watched" ports) */}}
{{- define "hubbub.serverPolicy" -}}
{{- if .root.Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "hubbub.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "hubbub.selector" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - ports: [{port: {{ .port }}, protocol: TCP}]
      from:
        - {{- include "hubbub.ownPods" .root | nindent 10 }}
    {{- with .peers }}
    - ports: [{port: {{ . }}, protocol: TCP}]
      from:
        - podSelector:
            matchLabels:
              {{- include "hubbub.selector" $ | nindent 14 }}
    {{- end }}
    {{- range .watched }}
    - ports: [{port: {{ . }}, protocol: TCP}]
      from:
        - {{- include "hubbub.ownPods" $.root | nindent 10 }}
        {{- with $.root.Values.networkPolicy.metricsFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- end }}
{{- end }}
{{- end -}}
