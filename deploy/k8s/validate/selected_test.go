package main

import (
	"fmt"
	"slices"
	"strings"
)

// selector is a Kubernetes label selector.
type selector struct {
	MatchLabels      map[string]string `yaml:"matchLabels"`
	MatchExpressions []struct {
		Key, Operator string
		Values        []string
	} `yaml:"matchExpressions"`
}

func (s selector) matches(labels map[string]string) bool {
	for key, value := range s.MatchLabels {
		if labels[key] != value {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		value, has := labels[e.Key]
		switch e.Operator {
		case "In":
			has = has && slices.Contains(e.Values, value)
		case "DoesNotExist":
			has = !has
		default:
			has = false // none of ours: a test fails for it
		}
		if !has {
			return false
		}
	}
	return true
}

// policy is a NetworkPolicy.
type policy struct {
	Spec struct {
		PodSelector selector `yaml:"podSelector"`
		PolicyTypes []string `yaml:"policyTypes"`
		Ingress     []struct {
			From  []peer
			Ports []struct{ Port string }
		}
		Egress []struct {
			To    []peer
			Ports []struct{ Port string }
		}
	}
}

type peer struct {
	PodSelector       *selector `yaml:"podSelector"`
	NamespaceSelector *selector `yaml:"namespaceSelector"`
}

// pod of the manifests, or one that an operator makes of them. The operators' labels are as their documentation has them.
type pod struct {
	name   string
	labels map[string]string
}

var servers = []pod{
	{"postgres", map[string]string{"cnpg.io/cluster": "postgres", "cnpg.io/podRole": "instance"}},
	{"kafka", map[string]string{"strimzi.io/cluster": "kafka", "strimzi.io/name": "kafka-kafka", "strimzi.io/kind": "Kafka"}},
}

// needs says which servers each program reaches, and no others.
var needs = map[string][]string{
	"orderservice": {"postgres:5432"},
	"relay":        {"postgres:5432", "kafka:9093"},
	"projector":    {"postgres:5432", "kafka:9093"},
	"query":        {"postgres:5432"},
	"migrate":      {"postgres:5432"},
	"topics":       {"kafka:9093"},
	"verify":       {"postgres:5432", "kafka:9093"},
	"recover":      {"postgres:5432", "kafka:9093"},
}

// selected holds every selector against the pods: of Services, disruption budgets, monitors and policies.
func selected(all []object, ws []workload, say func(string, ...any)) error {
	var pods []pod
	for _, w := range ws {
		pods = append(pods, pod{w.name, w.pod.Metadata.Labels})
	}
	if err := services(all, ws, say); err != nil {
		return err
	}
	budgets, err := decode[struct {
		Spec struct {
			Selector       selector
			MaxUnavailable int    `yaml:"maxUnavailable"`
			Unhealthy      string `yaml:"unhealthyPodEvictionPolicy"`
		}
	}](all, "PodDisruptionBudget")
	if err != nil {
		return fmt.Errorf("PodDisruptionBudget: %w", err)
	}
	for _, w := range ws {
		if b := budgets[w.name]; w.serves() && (!b.Spec.Selector.matches(w.pod.Metadata.Labels) || b.Spec.MaxUnavailable != 1 || b.Spec.Unhealthy != "AlwaysAllow" || len(b.Spec.Selector.MatchLabels) == 0) {
			say("%s has no PodDisruptionBudget that takes one at a time, and those that are not ready", w)
		}
	}
	monitors, err := decode[struct{ Spec struct{ Selector selector } }](all, "PodMonitor")
	if err != nil {
		return err
	}
	for name, m := range monitors {
		if !slices.ContainsFunc(slices.Concat(pods, servers), func(p pod) bool { return m.Spec.Selector.matches(p.labels) }) {
			say("PodMonitor %s selects nothing", name)
		}
	}
	return reach(all, pods, say)
}

func services(all []object, ws []workload, say func(string, ...any)) error {
	found, err := decode[struct {
		Spec struct {
			Selector map[string]string
			Ports    []struct {
				TargetPort string `yaml:"targetPort"`
			}
		}
	}](all, "Service")
	for name, s := range found {
		i := slices.IndexFunc(ws, func(w workload) bool {
			return w.serves() && selector{MatchLabels: s.Spec.Selector}.matches(w.pod.Metadata.Labels)
		})
		if i < 0 {
			say("Service %s selects nothing", name)
			continue
		}
		for _, p := range s.Spec.Ports {
			if !slices.ContainsFunc(ws[i].pod.Spec.Containers[0].Ports, func(c port) bool { return c.Name == p.TargetPort }) {
				say("Service %s sends to port %s, which its pods do not have", name, p.TargetPort)
			}
		}
	}
	return err
}

// reach works out from the policies which server each program gets to, and asks whether that is what it needs.
func reach(all []object, pods []pod, say func(string, ...any)) error {
	policies, err := decode[policy](all, "NetworkPolicy")
	if err != nil {
		return err
	}
	listeners, err := decode[struct {
		Spec struct {
			Kafka struct {
				Listeners []struct {
					Port  string
					Peers []peer `yaml:"networkPolicyPeers"`
				}
			}
		}
	}](all, "Kafka")
	if err != nil {
		return err
	}
	for _, p := range pods {
		var gets []string
		for _, server := range servers {
			for _, port := range []string{"5432", "8000", "9090", "9091", "9092", "9093"} {
				in := false
				if server.name == "kafka" { // Strimzi makes a policy of the listener's peers
					for _, l := range listeners["kafka"].Spec.Kafka.Listeners {
						in = in || l.Port == port && among(l.Peers, p.labels)
					}
				}
				if (in || lets(policies, server.labels, p.labels, port, "Ingress")) && lets(policies, p.labels, server.labels, port, "Egress") {
					gets = append(gets, server.name+":"+port)
				}
			}
		}
		if want := needs[p.name]; !slices.Equal(gets, want) {
			say("%s reaches %v, want %v", p.name, gets, want)
		}
		if !denied(policies, p.labels) {
			say("%s: nothing is denied by default", p.name)
		}
		if !resolves(policies, p.labels) {
			say("%s: cannot ask for names", p.name)
		}
	}
	return nil
}

func among(peers []peer, labels map[string]string) bool {
	return slices.ContainsFunc(peers, func(p peer) bool {
		return p.PodSelector != nil && p.NamespaceSelector == nil && p.PodSelector.matches(labels)
	})
}

// lets says whether some policy lets a pod have connections with another one of the namespace, in a direction.
func lets(policies map[string]policy, of, with map[string]string, port, direction string) bool {
	for _, p := range policies {
		if !p.Spec.PodSelector.matches(of) || !slices.Contains(p.Spec.PolicyTypes, direction) {
			continue
		}
		for _, r := range p.Spec.Ingress {
			if direction == "Ingress" && among(r.From, with) && slices.Contains(r.Ports, struct{ Port string }{port}) {
				return true
			}
		}
		for _, r := range p.Spec.Egress {
			if direction == "Egress" && among(r.To, with) && slices.Contains(r.Ports, struct{ Port string }{port}) {
				return true
			}
		}
	}
	return false
}

func denied(policies map[string]policy, labels map[string]string) bool {
	p, has := policies["default-deny"]
	return has && p.Spec.PodSelector.matches(labels) && len(p.Spec.PolicyTypes) == 2 && len(p.Spec.Ingress) == 0 && len(p.Spec.Egress) == 0
}

func resolves(policies map[string]policy, labels map[string]string) bool {
	for _, p := range policies {
		if !p.Spec.PodSelector.matches(labels) {
			continue
		}
		for _, r := range p.Spec.Egress {
			for _, to := range r.To {
				if to.PodSelector != nil && strings.HasSuffix(to.PodSelector.MatchLabels["k8s-app"], "kube-dns") && len(r.Ports) == 2 {
					return true
				}
			}
		}
	}
	return false
}
