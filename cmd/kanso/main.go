// Command kanso assembles container images for ZenML pipelines without a
// container daemon and without root.
package main

func main() {}
