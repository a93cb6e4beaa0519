# Images of Ottla: `docker build --target broker .`, `docker build --target operator .`
#
# The programs are linked statically, so that an image holds one file and nothing that ages beside it.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static" \
       cargo build --release --locked --target "$target" \
           --package ottla-cli --package ottla-operator --features ottla-operator/kubernetes \
    && mkdir /out && strip -o /out/ottla "target/$target/release/ottla" \
    && strip -o /out/ottla-operator "target/$target/release/ottla-operator"

# A broker: configuration is a properties file to name, or KAFKA_* in the environment.
FROM scratch AS broker
COPY --from=build /out/ottla /usr/bin/ottla
USER 65532:65532
ENTRYPOINT ["/usr/bin/ottla", "broker"]

# The operator: what it looks after and with which image is in the environment (OTTLA_*).
FROM scratch AS operator
COPY --from=build /out/ottla-operator /usr/bin/ottla-operator
USER 65532:65532
ENTRYPOINT ["/usr/bin/ottla-operator"]
