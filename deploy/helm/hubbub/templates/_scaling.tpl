{{/* Who decides how many pods a component has. */}}

{{/* "true" when it is not the chart: `replicas` must then be left out, or every upgrade would
     set the number back (and a server-side apply would find a conflict). */}}
{{- define "hubbub.scaledElsewhere" -}}
{{- if or .values.externalScaling .values.autoscaling.enabled (eq (include "hubbub.keda" .) "true") (eq (include "hubbub.managed" .) "true") }}true{{ end -}}
{{- end -}}

{{- define "hubbub.keda" -}}
{{- with .values.keda }}{{ if .enabled }}{{ include "hubbub.has" (dict "root" $.root "api" "keda.sh/v1alpha1" "force" .force) }}{{ end }}{{ end -}}
{{- end -}}

{{/* "true" when the operator sets the number of streamers. */}}
{{- define "hubbub.managed" -}}
{{- if eq .name "streamer" }}{{ with .root.Values.operator }}{{ if and .enabled .managedScaling }}true{{ end }}{{ end }}{{ end -}}
{{- end -}}

{{- define "hubbub.scaleTarget" -}}
{{- if eq (include "hubbub.managed" .) "true" -}}
{apiVersion: hubbub.dev/v1alpha1, kind: StreamerPool, name: {{ include "hubbub.fullname" .root }}-streamer}
{{- else -}}
{apiVersion: apps/v1, kind: Deployment, name: {{ include "hubbub.fullname" .root }}-{{ .name }}}
{{- end -}}
{{- end -}}

{{- define "hubbub.autoscaler" -}}
{{- if eq (include "hubbub.keda" .) "true" }}
---
{{ include "hubbub.scaledObject" . }}
{{- else if .values.autoscaling.enabled }}
---
{{ include "hubbub.hpa" . }}
{{- end }}
{{- end -}}

{{- define "hubbub.hpa" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "hubbub.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {{ include "hubbub.scaleTarget" . }}
  minReplicas: {{ .values.autoscaling.minReplicas }}
  maxReplicas: {{ .values.autoscaling.maxReplicas }}
  metrics:
    {{- with .values.autoscaling.targetConnections }}
    - type: Pods
      pods:
        metric: {name: hubbub_streamer_connections}
        target: {type: AverageValue, averageValue: {{ int64 . | quote }}}
    {{- end }}
    {{- with .values.autoscaling.targetDeliveriesPerSecond }}
    - type: Pods
      pods:
        metric: {name: hubbub_streamer_deliveries_per_second}
        target: {type: AverageValue, averageValue: {{ int64 . | quote }}}
    {{- end }}
    {{- with .values.autoscaling.targetCPUUtilizationPercentage }}
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ . }}}
    {{- end }}
    {{- with .values.autoscaling.metrics }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .values.autoscaling.behavior }}
  behavior:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "hubbub.scaledObject" -}}
{{- $scaling := .values.autoscaling -}}
{{- $selector := printf "namespace=%q,pod=~%q" .root.Release.Namespace (printf "%s-streamer-.*" (include "hubbub.fullname" .root)) -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  {{- include "hubbub.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {{ include "hubbub.scaleTarget" . }}
  minReplicaCount: {{ $scaling.minReplicas }}
  maxReplicaCount: {{ $scaling.maxReplicas }}
  pollingInterval: {{ .values.keda.pollingInterval }}
  # Without the behaviour a plain fallback would shrink a busy pool while Prometheus is away.
  fallback: {failureThreshold: 3, replicas: {{ $scaling.minReplicas }}, behavior: currentReplicasIfHigher}
  advanced:
    horizontalPodAutoscalerConfig:
      {{- with $scaling.behavior }}
      behavior:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  triggers:
    {{- with $scaling.targetConnections }}
    - type: prometheus
      metricType: AverageValue
      metadata:
        serverAddress: {{ $.values.keda.prometheusAddress }}
        query: {{ printf "sum(hubbub_streamer_connections{%s})" $selector | squote }}
        threshold: {{ int64 . | quote }}
    {{- end }}
    {{- with $scaling.targetDeliveriesPerSecond }}
    - type: prometheus
      metricType: AverageValue
      metadata:
        serverAddress: {{ $.values.keda.prometheusAddress }}
        query: {{ printf "sum(rate(hubbub_streamer_deliveries_total{%s}[1m]))" $selector | squote }}
        threshold: {{ int64 . | quote }}
    {{- end }}
    {{- with $scaling.targetCPUUtilizationPercentage }}
    - type: cpu
      metricType: Utilization
      metadata: {value: {{ int64 . | quote }}}
    {{- end }}
{{- end -}}
