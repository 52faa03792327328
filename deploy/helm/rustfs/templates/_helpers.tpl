{{/* Names, labels, and the one argument that all nodes share. */}}

{{- define "rustfs.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "rustfs.headless" -}}
{{ include "rustfs.fullname" . }}-headless
{{- end -}}

{{- define "rustfs.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rustfs.labels" -}}
{{ include "rustfs.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "rustfs.secretName" -}}
{{ .Values.auth.existingSecret | default (printf "%s-keys" (include "rustfs.fullname" .)) }}
{{- end -}}

{{- define "rustfs.scheme" -}}
{{ ternary "https" "http" (ne .Values.tls.existingSecret "") }}
{{- end -}}

{{/* All pools, the first of them made from the top-level values; the place in the list is part of the name. */}}
{{- define "rustfs.pools" -}}
{{- $first := dict "name" (include "rustfs.fullname" .) "replicas" .Values.replicas "drivesPerNode" .Values.drivesPerNode -}}
{{- $pools := list $first -}}
{{- range $index, $pool := .Values.extraPools -}}
{{- $name := printf "%s-pool%d" (include "rustfs.fullname" $) (add $index 1) -}}
{{- $pools = append $pools (merge (dict "name" $name) $pool) -}}
{{- end -}}
{{- dict "pools" $pools | toYaml -}}
{{- end -}}

{{/* {0...3}, or 0 where that is all: takes (list FIRST LAST). */}}
{{- define "rustfs.range" -}}
{{- $first := int (index . 0) -}}{{- $last := int (index . 1) -}}
{{- if eq $first $last -}}{{ $first }}{{- else -}}{{ printf "{%d...%d}" $first $last }}{{- end -}}
{{- end -}}

{{/* One URL a pool: takes (list ROOT POOL). */}}
{{- define "rustfs.volumes" -}}
{{- $root := index . 0 -}}{{- $pool := index . 1 -}}
{{- $nodes := include "rustfs.range" (list 0 (sub $pool.replicas 1)) -}}
{{- $drives := include "rustfs.range" (list 0 (sub $pool.drivesPerNode 1)) -}}
{{- $domain := printf "%s.%s.svc.%s" (include "rustfs.headless" $root) $root.Release.Namespace $root.Values.clusterDomain -}}
{{- printf "%s://%s-%s.%s:%d/data%s" (include "rustfs.scheme" $root) $pool.name $nodes $domain (int $root.Values.ports.s3) $drives -}}
{{- end -}}
