# Images of Ottla: `docker build --target broker .`
#
# The command is linked statically, so that the image holds one file and nothing that ages beside it.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static" \
       cargo build --release --locked --package ottla-cli --target "$target" \
    && mkdir /out && strip -o /out/ottla "target/$target/release/ottla"

# A broker: configuration is a properties file to name, or KAFKA_* in the environment.
FROM scratch AS broker
COPY --from=build /out/ottla /usr/bin/ottla
USER 65532:65532
ENTRYPOINT ["/usr/bin/ottla", "broker"]
