"""For pip: what its resolver asks an index for is asked for side by side.

The resolver wants one page, then the metadata of one candidate, then the next page, and waits for each. Here the pages and
the metadata that it will probably want are fetched before it asks, by pip's own session: of what it is given, of what these
depend on, and so on. What is chosen stays its affair: it gets the answers that it would have got. Whatever is not as
expected is fetched as it always was.
"""
import email
import importlib.machinery
import io
import queue
import sys
import threading

WATCHED = "pip._internal.resolution.resolvelib.resolver"
THREADS = 8  # fewer than connections that a session keeps
MOST = 2000  # requirements that are looked at


class Fetched:
    """An answer that is under way, or there."""

    def __init__(self):
        self.done, self.response = threading.Event(), None


class Lookahead:
    """Threads that fetch what will be asked for."""

    def __init__(self):
        self.todo, self.threads, self.stopped = queue.Queue(), [], False
        self.seen, self.answers, self.locks = set(), {}, {}
        self.guard = threading.Lock()  # of these three

    def expect(self, factory, requirements):
        """Fetch what is needed to choose candidates for requirements. Called by the resolver's thread alone."""
        for requirement in requirements:
            ireq = requirement.get_candidate_lookup()[1]
            if ireq is not None and ireq.req is not None and ireq.link is None:
                self.want(factory, ireq.req)
        while not self.stopped and len(self.threads) < min(THREADS, len(self.seen)):
            thread = threading.Thread(target=self.work, daemon=True)
            thread.start()
            self.threads.append(thread)

    def want(self, factory, req):
        from pip._vendor.packaging.utils import canonicalize_name
        name = canonicalize_name(req.name)
        there = factory._installed_dists.get(name)
        if req.url or there is not None and req.specifier.contains(there.version, prereleases=True):
            return
        key = (name, req.specifier, frozenset(req.extras))
        with self.guard:
            if self.stopped or key in self.seen or len(self.seen) >= MOST:
                return
            self.seen.add(key)
        self.todo.put((factory, name, req))

    def work(self):
        while True:
            job = self.todo.get()
            if job is None:
                return
            try:
                self.fetch(*job)
            except BaseException:  # the resolver meets it, too, and says so
                pass

    def fetch(self, factory, name, req):
        """Fetch a page, the metadata of its best candidate, and what that depends on."""
        finder = factory._finder
        best = finder.find_best_candidate(name, req.specifier).best_candidate
        link = best and best.link.metadata_link()
        if not link or factory.preparer.require_hashes:
            return
        body = self.metadata(finder._link_collector.session, link.url.split("#", 1)[0])
        if body is None:
            return
        from pip._vendor.packaging.requirements import Requirement
        for line in email.message_from_bytes(body).get_all("Requires-Dist", []):
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in req.extras or [""]):
                self.want(factory, needed)

    def metadata(self, session, url):
        """Fetch a file for the resolver; None if that was done before or cannot be."""
        from pip._internal.network.utils import HEADERS
        with self.guard:
            if url in self.answers:
                return None
            answer = self.answers[url] = Fetched()
        try:
            response = session_get(session, url, headers=HEADERS, stream=True)
            if response.status_code != 200:
                return None
            body = b"".join(response.raw.stream(1 << 16, decode_content=False))
            if response.headers.get("Content-Length", str(len(body))) != str(len(body)):
                return None
            response.raw = io.BytesIO(body)
            answer.response = response
            return body
        finally:
            answer.done.set()

    def answered(self, url, options):
        """The answer to a request, once; None if nobody made it."""
        if threading.current_thread() in self.threads or not options.get("stream") or "Range" in options.get("headers", {}):
            return None
        with self.guard:
            answer = self.answers.get(url)
        if answer is None:
            return None
        answer.done.wait()
        response, answer.response = answer.response, None
        return response

    def lock(self, finder, name):
        with self.guard:
            return self.locks.setdefault((id(finder), name), threading.RLock())

    def stop(self):
        """End the threads; whether they have ended. Nothing more is fetched ahead."""
        with self.guard:
            self.stopped = True
        for _ in self.threads:
            self.todo.put(None)
        for thread in self.threads:
            thread.join(1)
        return not any(thread.is_alive() for thread in self.threads)


lookahead = Lookahead()
session_get = None


def patch(resolver):
    """Put what looks ahead between pip's resolver, its finder and its session."""
    global session_get
    from pip._internal.index.package_finder import PackageFinder
    from pip._internal.network.session import PipSession
    provider, factory = resolver.PipProvider, resolver.Factory
    dependencies, roots, candidates, session_get = (
        provider.get_dependencies, factory.collect_root_requirements, PackageFinder.find_all_candidates, PipSession.get)

    def expect(of, requirements):
        try:
            lookahead.expect(of, requirements)
        except Exception:
            pass

    def get_dependencies(self, *args, **kwargs):
        found = list(dependencies(self, *args, **kwargs))
        expect(self._factory, found)
        return found

    def collect_root_requirements(self, *args, **kwargs):
        found = roots(self, *args, **kwargs)
        expect(self, getattr(found, "requirements", ()))
        return found

    def find_all_candidates(self, project_name):
        with lookahead.lock(self, project_name):
            return candidates(self, project_name)

    def get(self, url, **options):
        answer = lookahead.answered(url, options)
        return session_get(self, url, **options) if answer is None else answer

    provider.get_dependencies, factory.collect_root_requirements = get_dependencies, collect_root_requirements
    PackageFinder.find_all_candidates, PipSession.get = find_all_candidates, get


class Watch:
    """Sees the resolver being imported."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != WATCHED:
            return None
        sys.meta_path.remove(cls)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            try:
                patch(module)
            except Exception:  # another pip
                pass

        spec.loader.exec_module = exec_module
        return spec


def watch():
    """Begin when pip's resolver is imported."""
    sys.meta_path.insert(0, Watch)
