{{/* Labels of everything; of one component when called with (list . "name"). */}}
{{- define "ambit.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/part-of: ambit
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- end }}

{{/* What never changes, to find pods by. */}}
{{- define "ambit.selector" -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end }}

{{- define "ambit.image" -}}
{{- $image := (index . 0).Values.image -}}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ index $image (index . 1) }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}
{{- end }}

{{- define "ambit.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Names of what is not in a namespace: two releases must not meet. */}}
{{- define "ambit.clusterScoped" -}}
ambitd-{{ .Release.Namespace }}
{{- end }}

{{/* Where on its node the agent leaves anything; to take it away it must be told the same. */}}
{{- define "ambit.ztunnelPaths" -}}
- --bpffs={{ .Values.ztunnel.bpffsDir }}/ambit
- --state={{ .Values.ztunnel.stateDir }}
- --netns-dirs={{ join "," .Values.ztunnel.netnsDirs }}
{{- if .Values.cni.enabled }}
- --cni-socket={{ .Values.ztunnel.runDir }}/cni.sock
- --cni-net-dir=/host/cni/net.d
- --cni-bin-dir=/host/cni/bin
{{- end }}
{{- end }}
